//! Pictures as inline SVG: bars against a promise, and lines over days.
//!
//! Invariants: nothing is only in the picture (a table beside it says the same), nothing depends on colour alone (lines and bars carry
//! their words), text takes the page's colour, and every picture has a title for those who cannot see it.

use jiff::civil::Date;
use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
/// Where the labels of bars end and the bars begin.
const LEFT: f64 = 150.0;
/// Room for words right of the bars.
const RIGHT: f64 = 150.0;
const ROW: f64 = 26.0;
/// Where the numbers of lines end and the lines begin.
const AXIS: f64 = 44.0;
/// Readable on white and on black, and apart from each other for the colour-blind (after Okabe and Ito).
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8f7a00", "#6a6a6a",
];
const GOOD: &str = "#2e7d4f";
const BAD: &str = "#c0392b";
const DIM: &str = "#8a8f98";
/// Bars that a picture shows at most; the table has all.
const MOST_BARS: usize = 40;

/// One bar: a share of what was promised.
pub(crate) struct Bar {
    pub(crate) label: String,
    /// 1 is the promise; `None`: not measured.
    pub(crate) share: Option<f64>,
    pub(crate) words: String,
}

/// One line.
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) points: Vec<(Date, u64)>,
}

/// Bars against a line that must not be crossed; the worst first.
pub(crate) fn bars(title: &str, promise: &str, bars: &[Bar]) -> Option<String> {
    if bars.is_empty() {
        return None;
    }
    let mut worst_first: Vec<&Bar> = bars.iter().collect();
    worst_first.sort_by(|a, b| {
        let key = |bar: &Bar| bar.share.unwrap_or(f64::INFINITY);
        key(b)
            .total_cmp(&key(a))
            .then_with(|| a.label.cmp(&b.label))
    });
    worst_first.truncate(MOST_BARS);
    let largest = worst_first
        .iter()
        .filter_map(|bar| bar.share)
        .fold(1.0_f64, f64::max);
    // A bar ten times too long would make all others invisible.
    let scale = (WIDTH - LEFT - RIGHT) / (largest * 1.08).min(3.0);
    let height = 30.0 + ROW * float(worst_first.len()) + 8.0;
    let mut svg = open(title, height);
    let limit = LEFT + scale;
    let _ = write!(
        svg,
        "<text x=\"{limit:.1}\" y=\"14\" font-size=\"12\" text-anchor=\"middle\" fill=\"currentColor\">{}</text>\
         <line x1=\"{limit:.1}\" y1=\"20\" x2=\"{limit:.1}\" y2=\"{:.1}\" stroke=\"currentColor\" stroke-dasharray=\"4 3\"/>",
        escaped(promise),
        height - 4.0
    );
    for (place, bar) in worst_first.iter().enumerate() {
        let y = 30.0 + ROW * float(place);
        let middle = y + 12.5;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{middle:.1}\" font-size=\"13\" text-anchor=\"end\" dominant-baseline=\"central\" fill=\"currentColor\">{}</text>",
            LEFT - 10.0,
            escaped(&short(&bar.label))
        );
        let length = match bar.share {
            Some(share) => {
                let length = (share.min(3.0 / 1.08) * scale).max(1.5);
                let colour = if share > 1.0 { BAD } else { GOOD };
                let _ = write!(
                    svg,
                    "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"17\" rx=\"2\" fill=\"{colour}\"/>",
                    y + 4.0
                );
                length
            }
            None => 0.0,
        };
        let x = (LEFT + length).max(LEFT) + 8.0;
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{middle:.1}\" font-size=\"12\" dominant-baseline=\"central\" fill=\"currentColor\" opacity=\"0.8\">{}</text>",
            escaped(&bar.words)
        );
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// Numbers over days, a step line for each.
pub(crate) fn lines(title: &str, lines: &[Line]) -> Option<String> {
    const HEIGHT: f64 = 250.0;
    const TOP: f64 = 16.0;
    const BOTTOM: f64 = 28.0;
    let days: Vec<Date> = lines
        .iter()
        .max_by_key(|line| line.points.len())?
        .points
        .iter()
        .map(|(day, _)| *day)
        .collect();
    let (first, last) = (days.first()?, days.last()?);
    let largest = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|(_, count)| *count))
        .max()
        .unwrap_or(0)
        .max(1);
    // Up to a round number above the largest, so that a line at the top stands under one that is labelled.
    let marks = ticks(largest);
    let top = marks.last().copied().unwrap_or(1);
    let plot = WIDTH - AXIS - RIGHT;
    let step = plot / float(days.len().max(1));
    let y = |count: u64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - float(count) / float(top));
    let mut svg = open(title, HEIGHT);
    axes(&mut svg, &marks, &y, HEIGHT, (first, last));
    let mut labels = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let mut path = String::new();
        for (day, (_, count)) in line.points.iter().enumerate() {
            let (from, to) = (AXIS + step * float(day), AXIS + step * float(day + 1));
            let command = if day == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{from:.1} {:.1}H{to:.1}", y(*count));
        }
        let _ = write!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>"
        );
        let end = line.points.last().map_or(0, |(_, count)| *count);
        labels.push((y(end), colour, format!("{} ({end})", short(&line.label))));
    }
    place_apart(&mut labels, TOP, HEIGHT - BOTTOM);
    for (at, colour, words) in labels {
        let x = WIDTH - RIGHT + 8.0;
        let _ = write!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"9\" height=\"9\" rx=\"2\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{at:.1}\" font-size=\"12\" dominant-baseline=\"central\" fill=\"currentColor\">{}</text>",
            at - 4.5,
            x + 14.0,
            escaped(&words)
        );
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// Lines at round numbers, and the first and the last day.
fn axes(
    svg: &mut String,
    marks: &[u64],
    y: &dyn Fn(u64) -> f64,
    height: f64,
    days: (&Date, &Date),
) {
    for count in marks {
        let at = y(*count);
        let _ = write!(
            svg,
            "<line x1=\"{AXIS}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"{DIM}\" stroke-opacity=\"0.35\"/>\
             <text x=\"{:.1}\" y=\"{at:.1}\" font-size=\"11\" text-anchor=\"end\" dominant-baseline=\"central\" fill=\"currentColor\" opacity=\"0.8\">{count}</text>",
            WIDTH - RIGHT,
            AXIS - 6.0
        );
    }
    for (x, anchor, day) in [(AXIS, "start", days.0), (WIDTH - RIGHT, "end", days.1)] {
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"11\" text-anchor=\"{anchor}\" fill=\"currentColor\" opacity=\"0.8\">{day}</text>",
            height - 8.0
        );
    }
}

/// Moves labels apart that would lie over each other.
fn place_apart(labels: &mut [(f64, &'static str, String)], top: f64, bottom: f64) {
    const LINE: f64 = 17.0;
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut next = top;
    for label in labels.iter_mut() {
        label.0 = label.0.max(next);
        next = label.0 + LINE;
    }
    let mut limit = bottom;
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(limit);
        limit = label.0 - LINE;
    }
}

/// At most six round numbers, the last not below the largest.
fn ticks(largest: u64) -> Vec<u64> {
    let rough = largest.div_ceil(4).max(1);
    let power = 10_u64.pow(rough.ilog10());
    let step = [1, 2, 5, 10]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    (0..=largest.div_ceil(step))
        .map(|place| place * step)
        .collect()
}

fn open(title: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" font-family=\"system-ui,sans-serif\"><title>{}</title>",
        escaped(title)
    )
}

/// As much of a name as fits beside a bar.
fn short(text: &str) -> String {
    const MOST: usize = 20;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(MOST - 1).collect();
    cut.push('…');
    cut
}

/// A number as a length in a picture.
fn float(number: impl TryInto<u32>) -> f64 {
    number.try_into().map_or(f64::from(u32::MAX), f64::from)
}

fn escaped(text: &str) -> String {
    handlebars::html_escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_says_its_numbers_in_words_and_escapes_names() {
        let picture = bars(
            "Age against RPO",
            "RPO",
            &[
                Bar {
                    label: "a<b>".to_owned(),
                    share: Some(0.5),
                    words: "30 min of 1 h".to_owned(),
                },
                Bar {
                    label: "late".to_owned(),
                    share: Some(40.0),
                    words: "40 h of 1 h".to_owned(),
                },
                Bar {
                    label: "none".to_owned(),
                    share: None,
                    words: "no good point".to_owned(),
                },
            ],
        )
        .unwrap();
        insta::assert_snapshot!("bars_against_a_promise", picture.replace('>', ">\n"));
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (largest, expected) in [
            (1, vec![0, 1]),
            (7, vec![0, 2, 4, 6, 8]),
            (40, vec![0, 10, 20, 30, 40]),
            (4711, vec![0, 2000, 4000, 6000]),
        ] {
            assert_eq!(ticks(largest), expected, "{largest}");
        }
    }
}
