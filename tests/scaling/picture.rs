//! A run as a picture: the lag above, the replicas below, over the same seconds.

use std::fmt::Write;

use crate::plan::{ALLOWED, DRAIN, Plan};
use crate::watch::Sample;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 800.0;
/// Top and bottom of the two panels.
const LAG: (f64, f64) = (84.0, 318.0);
const REPLICAS: (f64, f64) = (378.0, 498.0);
const LAG_COLOUR: &str = "#b3541e";
const WANTED_COLOUR: &str = "#1f5a85";
const AT_WORK_COLOUR: &str = "#a9cbe4";
const STYLE: &str = "text{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#333}.title{font-size:16px;font-weight:600}\
.axis{font-size:12px;fill:#555}.end{text-anchor:end}.middle{text-anchor:middle}.grid{stroke:#e4e4e4}\
.frame{stroke:#888;fill:none}.share{stroke:#999;stroke-dasharray:4 4}.promise{stroke:#2c7a3f;stroke-width:1.5}\
.allowed{fill:#2c7a3f;opacity:.1}.told{fill:#2c7a3f}";

/// Where a panel has what: seconds from left to right, from 0 upwards.
struct Panel {
    top: f64,
    bottom: f64,
    seconds: (f64, f64),
    most: f64,
}

impl Panel {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds - self.seconds.0) / (self.seconds.1 - self.seconds.0) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - value / self.most * (self.bottom - self.top)
    }

    /// The frame, with a line and a number at every so many; and what is counted.
    fn axes(&self, seconds_apart: f64, apart: f64, counted: &str) -> String {
        let mut svg = String::new();
        for tick in ticks(self.seconds.0, self.seconds.1, seconds_apart) {
            let (x, below) = (self.x(tick), self.bottom + 18.0);
            svg += &line("grid", (x, self.top), (x, self.bottom));
            svg += &text("axis middle", (x, below), &format!("{tick:.0}"));
        }
        for tick in ticks(0.0, self.most, apart) {
            let y = self.y(tick);
            svg += &line("grid", (LEFT, y), (RIGHT, y));
            svg += &text("axis end", (LEFT - 8.0, y + 4.0), &thousands(tick));
        }
        let (top, width, height) = (self.top, RIGHT - LEFT, self.bottom - self.top);
        let _ = write!(svg, r#"<rect class="frame" x="{LEFT}" y="{top}" width="{width}" height="{height}"/>"#);
        svg + &text("", (LEFT, self.top - 10.0), counted)
    }

    /// A line through the samples that keeps each value until the next.
    fn steps(&self, samples: &[Sample], value: impl Fn(&Sample) -> f64) -> String {
        let mut path = String::new();
        for sample in samples {
            let (x, y) = (self.x(sample.seconds), self.y(value(sample)));
            let _ = if path.is_empty() { write!(path, "M{x:.1} {y:.1}") } else { write!(path, "H{x:.1}V{y:.1}") };
        }
        path
    }

    fn slopes(&self, samples: &[Sample], value: impl Fn(&Sample) -> f64) -> String {
        let point = |sample: &Sample| format!("{:.1} {:.1}", self.x(sample.seconds), self.y(value(sample)));
        format!("M{}", samples.iter().map(point).collect::<Vec<_>>().join("L"))
    }
}

/// The picture of a run that was drained after so many seconds.
pub(crate) fn draw(samples: &[Sample], plan: Plan, drain_seconds: f64) -> String {
    let (first, last) = (samples.first(), samples.last());
    let seconds = (first.map_or(0.0, |sample| sample.seconds), last.map_or(1.0, |sample| sample.seconds));
    let most_lag = samples.iter().map(|sample| sample.lag).max().unwrap_or(1) as f64;
    let most_replicas = samples.iter().map(|sample| sample.wanted.max(sample.at_work)).max().unwrap_or(1) as f64;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"><style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>"#
    );
    let title = format!(
        "{} records at once: one replica does {} a second, drainSeconds is {}",
        thousands(plan.burst() as f64),
        plan.records_per_second,
        DRAIN.as_secs()
    );
    svg += &text("title", (LEFT, 34.0), &title);
    let panel = Panel { top: LAG.0, bottom: LAG.1, seconds, most: most_lag * 1.08 };
    svg += &lag(&panel, samples, plan, drain_seconds);
    let panel = Panel { top: REPLICAS.0, bottom: REPLICAS.1, seconds, most: most_replicas + 0.5 };
    svg += &replicas(&panel, samples);
    svg += &text("axis middle", ((LEFT + RIGHT) / 2.0, HEIGHT - 22.0), "seconds since the burst was in the log");
    svg + "</svg>\n"
}

fn lag(panel: &Panel, samples: &[Sample], plan: Plan, drain_seconds: f64) -> String {
    let promised = DRAIN.as_secs_f64();
    let (from, to) = (panel.x(promised * ALLOWED.start()), panel.x(promised * ALLOWED.end()));
    let (top, height) = (panel.top, panel.bottom - panel.top);
    let mut svg =
        format!(r#"<rect class="allowed" x="{from:.1}" y="{top}" width="{:.1}" height="{height}"/>"#, to - from);
    svg += &panel.axes(30.0, nice(panel.most / 5.0), "lag of the group, records");
    let mut replicas = 1;
    while (replicas * plan.threshold()) as f64 <= panel.most {
        let y = panel.y((replicas * plan.threshold()) as f64);
        svg += &line("share", (LEFT, y), (RIGHT, y));
        svg += &text("axis", (RIGHT + 6.0, y + 4.0), &format!("{replicas} × threshold"));
        replicas += 1;
    }
    svg += &line("promise", (panel.x(promised), panel.top), (panel.x(promised), panel.bottom));
    let told = format!("promised after {promised} s ± 25 %, done after {drain_seconds:.0} s");
    svg += &text("told", (panel.x(promised) + 8.0, panel.top + 34.0), &told);
    let path = panel.slopes(samples, |sample| sample.lag as f64);
    svg + &format!(r#"<path d="{path}" fill="none" stroke="{LAG_COLOUR}" stroke-width="2.5"/>"#)
}

fn replicas(panel: &Panel, samples: &[Sample]) -> String {
    let mut svg = panel.axes(30.0, 1.0, "replicas");
    let area = panel.steps(samples, |sample| sample.at_work as f64);
    let (left, right, bottom) = (panel.x(panel.seconds.0), panel.x(panel.seconds.1), panel.bottom);
    let _ = write!(
        svg,
        r#"<path d="{area}H{right:.1}V{bottom:.1}H{left:.1}Z" fill="{AT_WORK_COLOUR}" fill-opacity=".55"/>"#
    );
    let wanted = panel.steps(samples, |sample| sample.wanted as f64);
    let _ = write!(svg, r#"<path d="{wanted}" fill="none" stroke="{WANTED_COLOUR}" stroke-width="2.5"/>"#);
    // What is what, above the panel on its right.
    let y = panel.top - 14.0;
    let _ =
        write!(svg, r#"<rect x="{}" y="{}" width="22" height="10" fill="{AT_WORK_COLOUR}"/>"#, RIGHT - 340.0, y - 5.0);
    svg += &text("", (RIGHT - 312.0, y + 4.0), "processes at work");
    let _ = write!(svg, r#"<path d="M{} {y}h22" stroke="{WANTED_COLOUR}" stroke-width="2.5"/>"#, RIGHT - 178.0);
    svg + &text("", (RIGHT - 150.0, y + 4.0), "the Deployment wants")
}

fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> String {
    format!(r#"<path class="{class}" d="M{:.1} {:.1}L{:.1} {:.1}"/>"#, from.0, from.1, to.0, to.1)
}

fn text(class: &str, at: (f64, f64), words: &str) -> String {
    format!(r#"<text class="{class}" x="{:.1}" y="{:.1}">{words}</text>"#, at.0, at.1)
}

/// All multiples of a step from one number to the other.
fn ticks(from: f64, to: f64, step: f64) -> impl Iterator<Item = f64> {
    let (first, last) = ((from / step).ceil() as i64, (to / step).floor() as i64);
    (first..=last).map(move |number| number as f64 * step)
}

/// The next 1, 2 or 5 of some power of ten.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1.0).log10().floor());
    let found = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= step);
    found.unwrap_or(10.0) * power
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_round_and_read_well() {
        assert_eq!((nice(2_765.0), nice(5.0), nice(0.3), nice(700.0)), (5_000.0, 5.0, 1.0, 1_000.0));
        assert_eq!(["7", "999", "12,825"].map(str::to_owned), [7.0, 999.0, 12_825.0].map(thousands));
        assert_eq!(ticks(-12.0, 65.0, 30.0).collect::<Vec<_>>(), [0.0, 30.0, 60.0]);
    }

    #[test]
    fn both_series_are_drawn_between_the_frames() {
        let sample = |seconds, lag, wanted| Sample { seconds, lag, wanted, at_work: wanted };
        let samples = [sample(-5.0, 0, 1), sample(0.0, 1_000, 1), sample(5.0, 500, 4), sample(60.0, 0, 1)];
        let svg = draw(&samples, Plan { records_per_second: 5 }, 60.0);
        assert!(svg.contains("2 × threshold") && !svg.contains("3 × threshold"), "{svg}");
        assert!(svg.contains("done after 60 s") && !svg.contains("NaN"), "{svg}");
    }
}
