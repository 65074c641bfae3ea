//! The commands of the chart's runbook, held to the command line.

use clap::Parser;

use super::Cli;

/// As a shell takes a line: words between blanks, but for what is in single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (place, part) in line.split('\'').enumerate() {
        let pieces: Vec<&str> = if place % 2 == 0 { part.split(' ').collect() } else { vec![part] };
        for (place, piece) in pieces.into_iter().enumerate() {
            if place > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(piece);
        }
    }
    words.retain(|word| !word.is_empty());
    // A comment ends the line.
    words.into_iter().take_while(|word| !word.starts_with('#')).collect()
}

#[test]
fn every_command_of_the_runbook_is_one() {
    let runbook = include_str!("../../../../helm/frameline/RUNBOOK.md");
    let blocks = runbook.split("```sh").skip(1).map(|block| block.split("```").next().unwrap());
    let lines: Vec<&str> = blocks.flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty()).collect();
    let of_ours = lines.iter().filter_map(|line| line.find("frameline ").map(|at| &line[at..]));
    let commands: Vec<&str> = of_ours.collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let parsed = Cli::try_parse_from(words(command));
        assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
    }
    let known = ["frameline ", "kubectl ", "helm "];
    let others = lines.iter().filter(|line| !known.iter().any(|program| line.starts_with(program)));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&&str>::new(), "neither ours nor an operator's tool");
}
