//! `latency.html`: the charts and the tables in one file that asks nothing of any server.

use maud::{Markup, html};
use understory_lab::html::{styled_document, wide};

use super::Outcome;
use super::chart::{Abscissa, chart};
use super::tables::{self, Section};

pub fn page(outcome: &Outcome) -> String {
    let title = format!("Latency by position: {}", outcome.subject.model);
    let charts = [
        (&outcome.analysis.steps, Abscissa::Context, "Step time by position"),
        (&outcome.analysis.over_n, Abscissa::Output, "The published quantity: decode time over N"),
    ];
    let body = html! {
        h1 { (title) }
        p { (tables::heading(outcome)) }
        @for (fits, abscissa, title) in charts {
            @if let Some(fits) = fits {
                figure {
                    figcaption { (title) ", medians over rounds" }
                    (chart(fits, abscissa, title))
                }
            }
        }
        @for section in tables::sections(&outcome.analysis) { (table(&section)) }
    };
    styled_document(&title, include_str!("page.css"), &body)
}

fn table(section: &Section) -> Markup {
    let cells = |row: &[String]| -> Vec<(String, Option<&str>)> {
        let class = |side| (side == '>').then_some("n");
        row.iter().cloned().zip(section.align.chars().map(class)).collect()
    };
    let (heading, rows) = section.rows.split_first().map_or((&[][..], &[][..]), |(first, rest)| (&first[..], rest));
    html! {
        h2 { (section.title) }
        p { (section.note) }
        (wide(section.title, &html! {
            table {
                @if heading.iter().any(|cell| !cell.is_empty()) {
                    tr { @for (cell, class) in cells(heading) { th scope="col" class=[class] { (cell) } } }
                }
                @for row in rows {
                    tr { @for (cell, class) in cells(row) { td class=[class] { (cell) } } }
                }
            }
        }))
    }
}
