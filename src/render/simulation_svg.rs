//! A simulation as a picture of its own: the calendar of points that are there at the end, and what lies on each tier over time.
//!
//! SVG without scripts, fonts or files from elsewhere. Light background; a tier is told by its lane and its colour, so that it reads without colours too.

use jiff::{civil::Date, tz::TimeZone};
use model::{ByteCount, TierName};
use planner::simulation::{SeriesUse, Simulation, TierUse};
use policy_schema::Policy;
use std::{collections::BTreeMap, fmt::Write as _};

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 120.0;
const RIGHT: f64 = 1090.0;
const LANE: f64 = 10.0;
const CHART_HEIGHT: f64 = 160.0;
/// Series whose calendars are drawn.
const MOST_SERIES: usize = 12;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// Okabe and Ito's colours, which most eyes tell apart.
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444",
];

/// Draws it.
pub(crate) fn picture(result: &Simulation, policy: &Policy) -> String {
    let mut canvas = Canvas {
        body: String::new(),
        y: 34.0,
        tiers: result.tiers.keys().collect(),
    };
    let zone = &policy.timezone;
    let end = zone.to_datetime(result.until).date();
    canvas.text(
        20.0,
        20.0,
        "h",
        &format!("Recovery points that are there on {end}"),
    );
    canvas.legend();
    let mut left_out = 0;
    let mut drawn = 0;
    for (database, usage) in &result.databases {
        for (series, tiers) in &usage.series {
            if drawn == MOST_SERIES {
                left_out += 1;
                continue;
            }
            drawn += 1;
            canvas.calendar(&format!("{database}/{series}"), tiers, end, zone);
        }
    }
    if left_out > 0 {
        let y = canvas.y;
        canvas.text(20.0, y, "s", &format!("… and {left_out} more series"));
        canvas.y += 24.0;
    }
    let bytes = |tier: &TierUse| tier.bytes.clone();
    let points = |tier: &TierUse| {
        tier.points
            .iter()
            .map(|points| u64::from(*points))
            .collect()
    };
    if result
        .tiers
        .values()
        .any(|tier| tier.bytes.iter().any(|bytes| *bytes > 0))
    {
        canvas.chart("Stored on each tier", result, bytes, |bytes| {
            ByteCount(bytes).to_string()
        });
    }
    canvas.chart("Recovery points on each tier", result, points, |points| {
        points.to_string()
    });
    canvas.finish(&format!(
        "{} to {}",
        zone.to_datetime(result.from).date(),
        end
    ))
}

struct Canvas<'r> {
    body: String,
    y: f64,
    tiers: Vec<&'r TierName>,
}

impl Canvas<'_> {
    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let _ = writeln!(
            self.body,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#,
            escaped(text)
        );
    }

    fn colour(&self, tier: &TierName) -> &'static str {
        let number = self.tiers.iter().position(|one| *one == tier).unwrap_or(0);
        COLOURS[number % COLOURS.len()]
    }

    fn legend(&mut self) {
        let mut x = LEFT;
        let y = self.y;
        for tier in self.tiers.clone() {
            let colour = self.colour(tier);
            let _ = writeln!(
                self.body,
                r#"<rect x="{x:.1}" y="{:.1}" width="12" height="9" fill="{colour}"/>"#,
                y + 3.0
            );
            self.text(x + 17.0, y + 12.0, "s", tier.as_str());
            x += 40.0 + 7.0 * length(tier.as_str());
        }
        self.y += 34.0;
    }

    /// A row for each year, in it a lane for each tier, in it a mark for each day that has a point.
    fn calendar(
        &mut self,
        name: &str,
        tiers: &BTreeMap<TierName, SeriesUse>,
        end: Date,
        zone: &TimeZone,
    ) {
        let y = self.y;
        self.text(20.0, y, "b", name);
        let counts: Vec<String> = tiers
            .iter()
            .map(|(tier, usage)| {
                format!(
                    "{tier}: {} at the end, {} made",
                    usage.at_end.len(),
                    usage.made
                )
            })
            .collect();
        self.text(
            LEFT + 60.0 + 7.0 * length(name),
            y,
            "s",
            &counts.join(" · "),
        );
        self.y += 20.0;
        let slots = tiers.values().flat_map(|usage| &usage.at_end);
        let first = slots
            .map(|slot| zone.to_datetime(*slot).date().year())
            .min()
            .unwrap_or(end.year());
        let month_width = (RIGHT - LEFT) / 12.0;
        let mut x = LEFT;
        for month in MONTHS {
            let y = self.y;
            self.text(x + 3.0, y, "s", month);
            x += month_width;
        }
        self.y += 5.0;
        for year in first..=end.year() {
            self.year(year, tiers, zone);
        }
        self.y += 26.0;
    }

    fn year(&mut self, year: i16, tiers: &BTreeMap<TierName, SeriesUse>, zone: &TimeZone) {
        let month_width = (RIGHT - LEFT) / 12.0;
        let height = LANE * tiers.keys().map(|_| 1.0).sum::<f64>();
        let y = self.y;
        self.text(LEFT - 44.0, y + height / 2.0 + 4.0, "s", &year.to_string());
        let _ = writeln!(
            self.body,
            r##"<rect x="{LEFT}" y="{y:.1}" width="{:.1}" height="{height:.1}" fill="#f4f4f2"/>"##,
            RIGHT - LEFT
        );
        let mut x = LEFT;
        for _ in 0..=12 {
            let _ = writeln!(
                self.body,
                r##"<line x1="{x:.1}" y1="{y:.1}" x2="{x:.1}" y2="{:.1}" stroke="#cfcfca"/>"##,
                y + height
            );
            x += month_width;
        }
        let mut lane = y;
        for (tier, usage) in tiers {
            let colour = self.colour(tier);
            let mut days: BTreeMap<Date, usize> = BTreeMap::new();
            for slot in &usage.at_end {
                let date = zone.to_datetime(*slot).date();
                if date.year() == year {
                    *days.entry(date).or_default() += 1;
                }
            }
            for (date, count) in days {
                let before = f64::from(date.month() - 1);
                let within = f64::from(date.day() - 1) / f64::from(date.days_in_month());
                let x = LEFT + (before + within) * month_width;
                let plural = if count == 1 { "" } else { "s" };
                let _ = writeln!(
                    self.body,
                    r#"<rect x="{x:.1}" y="{:.1}" width="2.6" height="{:.1}" fill="{colour}"><title>{date}: {count} point{plural} on {tier}</title></rect>"#,
                    lane + 1.0,
                    LANE - 2.0
                );
            }
            lane += LANE;
        }
        self.y += height + 4.0;
    }

    fn chart(
        &mut self,
        title: &str,
        result: &Simulation,
        values: impl Fn(&TierUse) -> Vec<u64>,
        label: impl Fn(u64) -> String,
    ) {
        let y = self.y;
        self.text(20.0, y, "b", title);
        let top = y + 16.0;
        let bottom = top + CHART_HEIGHT;
        let all: BTreeMap<&TierName, Vec<u64>> = result
            .tiers
            .iter()
            .map(|(name, tier)| (name, values(tier)))
            .collect();
        let most = all.values().flatten().copied().max().unwrap_or(0).max(1);
        for quarter in 0..=4_u64 {
            let line = bottom - CHART_HEIGHT * fraction(quarter, 4);
            let _ = writeln!(
                self.body,
                r##"<line x1="{LEFT}" y1="{line:.1}" x2="{RIGHT}" y2="{line:.1}" stroke="#dcdcd8"/>"##
            );
            let value = u64::try_from(u128::from(most) * u128::from(quarter) / 4).unwrap_or(most);
            let _ = writeln!(
                self.body,
                r#"<text class="s" text-anchor="end" x="{:.1}" y="{:.1}">{}</text>"#,
                LEFT - 8.0,
                line + 4.0,
                escaped(&label(value))
            );
        }
        self.time_axis(result, bottom);
        for (tier, values) in all {
            let points: Vec<String> = thinned(&values)
                .into_iter()
                .map(|(number, value)| {
                    let x =
                        LEFT + (RIGHT - LEFT) * fraction(number, values.len().max(2) as u64 - 1);
                    format!(
                        "{x:.1},{:.1}",
                        bottom - CHART_HEIGHT * fraction(value, most)
                    )
                })
                .collect();
            let _ = writeln!(
                self.body,
                r#"<polyline points="{}" fill="none" stroke="{}" stroke-width="1.8"><title>{tier}</title></polyline>"#,
                points.join(" "),
                self.colour(tier)
            );
        }
        self.y = bottom + 56.0;
    }

    fn time_axis(&mut self, result: &Simulation, bottom: f64) {
        let days = result
            .tiers
            .values()
            .map(|tier| tier.points.len())
            .max()
            .unwrap_or(0)
            .max(2) as u64;
        let mut last = f64::MIN;
        for number in 0..days {
            let span = jiff::Span::new().try_days(number.cast_signed());
            let Ok(date) = span.and_then(|span| result.first_day.checked_add(span)) else {
                break;
            };
            let x = LEFT + (RIGHT - LEFT) * fraction(number, days - 1);
            let label = if days > 1100 { "%Y" } else { "%Y-%m" };
            let begins = if days > 1100 {
                date.day_of_year() == 1
            } else {
                date.day() == 1
            };
            if !begins || x - last < 60.0 {
                continue;
            }
            last = x;
            let _ = writeln!(
                self.body,
                r##"<line x1="{x:.1}" y1="{bottom:.1}" x2="{x:.1}" y2="{:.1}" stroke="#888"/>"##,
                bottom + 5.0
            );
            self.text(
                x - 14.0,
                bottom + 18.0,
                "s",
                &date.strftime(label).to_string(),
            );
        }
    }

    fn finish(self, period: &str) -> String {
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{:.0}" viewBox="0 0 {WIDTH} {:.0}" role="img">
<title>Simulated recovery points, {period}</title>
<style>text {{ font-family: system-ui, sans-serif; fill: #222 }} .h {{ font-size: 17px; font-weight: 600 }} .b {{ font-size: 14px; font-weight: 600 }} .s {{ font-size: 11.5px; fill: #444 }}</style>
<rect width="100%" height="100%" fill="#ffffff"/>
{}</svg>
"##,
            self.y, self.y, self.body
        )
    }
}

/// At most a thousand values, of each stretch the largest.
fn thinned(values: &[u64]) -> Vec<(u64, u64)> {
    let stride = values.len().div_ceil(1000).max(1);
    let chunks = values.chunks(stride).enumerate();
    chunks
        .map(|(number, chunk)| {
            (
                (number * stride) as u64,
                chunk.iter().copied().max().unwrap_or(0),
            )
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn fraction(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn length(text: &str) -> f64 {
    text.chars().count() as f64
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
