//! Reads what the test binaries print, as it comes, and sums it up.
//!
//! The binaries run with `--show-output`, so that the output of passing tests is there too. It is searched for
//! lines like `skipped: NAME: why`, by which a test says that it could not run, and otherwise left out.
//!
//! Binaries with a `main` of their own print a line a test and no sums: there the lines are counted.

use std::fmt;

#[derive(Debug, Default)]
pub(crate) struct Report {
    /// As the binaries count: a test that says `skipped` ends well for them.
    passed: usize,
    failed: usize,
    ignored: usize,
    /// Passed since the last sums, by their lines. Sums that follow have them in.
    passed_by_line: usize,
    /// The first such line of every test that has one.
    skipped: Vec<String>,
    section: Section,
    skip_was_told: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Section {
    /// A line a test, and the sums.
    #[default]
    Results,
    OutputOfPassed,
    OutputOfFailed,
}

impl Report {
    /// Takes in a line; says whether it is to be shown as it comes.
    pub(crate) fn read(&mut self, line: &str) -> bool {
        match line {
            "successes:" => self.section = Section::OutputOfPassed,
            "failures:" => self.section = Section::OutputOfFailed,
            _ if line.starts_with("test result: ") => self.section = Section::Results,
            _ => {}
        }
        match self.section {
            Section::Results => self.read_result(line),
            Section::OutputOfPassed => self.read_output(line, line.starts_with("---- ")),
            Section::OutputOfFailed => {}
        }
        self.section != Section::OutputOfPassed
    }

    fn read_result(&mut self, line: &str) {
        let has_passed = line.starts_with("test ") && line.ends_with(" ... ok");
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed_by_line = 0;
            self.add(counts);
        } else if line.starts_with("running ") {
            // The lines before were of a binary without sums.
            self.passed += std::mem::take(&mut self.passed_by_line);
        } else if has_passed {
            self.passed_by_line += 1;
        }
        // A binary of its own kind prints what its tests say as they run.
        self.read_output(line, has_passed);
    }

    /// Notes the first reason that a test tells; `ends` when the next line is of another test.
    fn read_output(&mut self, line: &str, ends: bool) {
        let tells_skip = line.starts_with("skipped: ");
        if tells_skip && !self.skip_was_told {
            self.skipped.push(line.to_owned());
        }
        self.skip_was_told = !ends && (self.skip_was_told || tells_skip);
    }

    /// Adds `ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
    fn add(&mut self, counts: &str) {
        let words: Vec<&str> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let [number, what] = pair else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match *what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// The tests that were skipped, with their reasons, and the sums in the last line.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.skipped {
            writeln!(formatter, "{line}")?;
        }
        let passed = (self.passed + self.passed_by_line).saturating_sub(self.skipped.len());
        let skipped = self.ignored + self.skipped.len();
        write!(formatter, "{passed} passed, {} failed, {skipped} skipped", self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(output: &str) -> (Vec<&str>, String) {
        let mut report = Report::default();
        let shown = output.lines().filter(|line| report.read(line)).collect();
        (shown, report.to_string())
    }

    #[test]
    fn the_sums_of_all_binaries_stand_in_the_last_line() {
        let (shown, text) = summary(
            "running 3 tests\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.10s\n\
             test result: FAILED. 4 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 9s",
        );
        assert_eq!(shown.len(), 3);
        assert_eq!(text, "7 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn a_test_that_tells_why_it_was_skipped_counts_once_and_not_as_passed() {
        let (shown, text) = summary(
            "test a ... ok\n\nsuccesses:\n\n---- a stdout ----\nchatter\nskipped: a: no samples\nskipped: a: really\n\n\
             ---- b stdout ----\nskipped: b: no Java\n\nsuccesses:\n    a\n    b\n    c\n\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        );
        assert_eq!(shown, ["test a ... ok", "", shown[2]], "the output of tests that pass is left out");
        assert!(shown[2].starts_with("test result: ok"));
        assert_eq!(text, "skipped: a: no samples\nskipped: b: no Java\n1 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn tests_of_a_binary_without_sums_are_counted_by_their_lines() {
        let sums = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let with_sums = format!("\nrunning 1 test\ntest c ... ok\n\n{sums}\n\n");
        let without = "test a ... ok\nskipped: b: no samples\nskipped: b: none\ntest b ... ok\n";
        let expected = "skipped: b: no samples\n3 passed, 0 failed, 1 skipped";
        assert_eq!(summary(&format!("{with_sums}{without}{with_sums}")).1, expected);
        assert_eq!(summary(&format!("{without}{with_sums}{with_sums}")).1, expected);
        assert_eq!(summary(&format!("{with_sums}{with_sums}{without}")).1, expected);
    }

    #[test]
    fn the_output_of_a_failed_test_is_shown() {
        let (shown, text) = summary(
            "successes:\n\n---- a stdout ----\nchatter\n\nfailures:\n\n---- b stdout ----\npanicked at\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
        );
        assert!(shown.contains(&"panicked at") && !shown.contains(&"chatter"), "{shown:?}");
        assert_eq!(text, "1 passed, 1 failed, 0 skipped");
    }
}
