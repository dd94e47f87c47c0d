//! `latency.html`: the charts and the tables in one file that asks nothing of any server.

use std::fmt::Write as _;

use understory_lab::html::{escape, styled_document};
use understory_lab::position::Fits;

use super::Outcome;
use super::chart::{self, Axis};
use super::tables::{self, Section};

pub fn page(outcome: &Outcome) -> String {
    let title = format!("Latency by position: {}", outcome.subject.model);
    let mut body = format!("<h1>{}</h1>\n<p>{}</p>\n", escape(&title), escape(&tables::heading(outcome)));
    let charts = [
        (&outcome.analysis.steps, Axis::Context, "Step time by position"),
        (&outcome.analysis.over_n, Axis::Output, "The published quantity: decode time over N"),
    ];
    for (fits, axis, title) in charts {
        if let Some(fits) = fits {
            body += &figure(fits, axis, title);
        }
    }
    for section in tables::sections(&outcome.analysis) {
        body += &table(&section);
    }
    styled_document(&title, include_str!("page.css"), &body)
}

/// A chart with its legends: points by prompt, curves by form.
fn figure(fits: &Fits, axis: Axis, title: &str) -> String {
    let mut out = format!("<figure><figcaption>{title}, medians over rounds</figcaption>");
    out += &chart::svg(fits, axis, title);
    out += "<ul class=\"legend\">";
    for (prefill, color) in chart::prompts(&fits.points) {
        let dot = format!(
            "<svg viewBox=\"0 0 22 10\" aria-hidden=\"true\"><circle class=\"f{color}\" cx=\"11\" cy=\"5\" \
             r=\"4\"/></svg>"
        );
        let _ = write!(out, "<li>{dot}prompt of {prefill}</li>");
    }
    for fit in &fits.fits {
        let (chosen, fits) = if fit.form == fits.chosen { (" chosen", " (fits)") } else { ("", "") };
        let line = format!(
            "<svg viewBox=\"0 0 22 10\" aria-hidden=\"true\"><path class=\"fit {}{chosen}\" d=\"M0 5H22\"/></svg>",
            chart::class(fit.form)
        );
        let _ = write!(out, "<li>{line}{}{fits}</li>", fit.form.name());
    }
    out + "</ul></figure>\n"
}

fn table(section: &Section) -> String {
    let mut out = format!("<h2>{}</h2>\n<p>{}</p>\n", escape(section.title), escape(&section.note));
    let _ = write!(out, "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table>", section.title);
    for (nth, row) in section.rows.iter().enumerate() {
        if nth == 0 && row.iter().all(String::is_empty) {
            continue;
        }
        out += "<tr>";
        for (cell, side) in row.iter().zip(section.align.chars()) {
            let class = if side == '>' { " class=\"n\"" } else { "" };
            let _ = match nth {
                0 => write!(out, "<th scope=\"col\"{class}>{}</th>", escape(cell)),
                _ => write!(out, "<td{class}>{}</td>", escape(cell)),
            };
        }
        out += "</tr>";
    }
    out + "</table></div>\n"
}
