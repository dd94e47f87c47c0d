//! Reports, comparisons and predictions as pages that ask nothing of any server, and the pieces they are made of.

pub mod comparison;
mod plots;
pub mod prediction;
pub mod report;

use maud::{Markup, PreEscaped, html};
use understory_protocol::definitions::Definition;

/// A table; the first `names` columns are text, the others figures. A wide one scrolls in its own box.
pub struct Table {
    pub heading: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub names: usize,
}

impl Table {
    pub fn html(&self, caption: &str) -> Markup {
        self.html_with_class(caption, None)
    }

    /// As [`Table::html`], with a class of the style sheet.
    pub fn html_with_class(&self, caption: &str, class: Option<&str>) -> Markup {
        wide(
            caption,
            &html! {
                table class=[class] {
                    thead { tr {
                        @for (nth, cell) in self.heading.iter().enumerate() {
                            th scope="col" class=[self.class(nth)] { (cell) }
                        }
                    } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (nth, cell) in row.iter().enumerate() { td class=[self.class(nth)] { (cell) } }
                            }
                        }
                    }
                }
            },
        )
    }

    fn class(&self, nth: usize) -> Option<&'static str> {
        (nth >= self.names).then_some("n")
    }
}

/// A box that scrolls sideways, also by keyboard.
pub fn wide(caption: &str, content: &Markup) -> Markup {
    html! { div class="wide" tabindex="0" role="region" aria-label=(caption) { (content) } }
}

/// What a figure means, one click away.
pub fn meaning(definitions: &[&Definition]) -> Markup {
    html! {
        details {
            summary { "What this means" }
            dl {
                @for Definition { id, name, text, .. } in definitions {
                    dt { (name) " " code { (id) } }
                    dd { (text) }
                }
            }
        }
    }
}

/// A chart with its title, its meaning and the same as a table.
pub fn figure(title: &str, note: &str, chart: &Markup, definitions: &[&Definition], table: &Table) -> Markup {
    html! {
        figure {
            figcaption { h3 { (title) } p { (note) } }
            (chart)
            (meaning(definitions))
            details { summary { "The same as a table" } (table.html(title)) }
        }
    }
}

/// A whole document that asks nothing of any server.
pub fn document(title: &str, body: &Markup) -> String {
    styled_document(title, include_str!("style.css"), body)
}

/// As [`document`], with a style of its own.
pub fn styled_document(title: &str, style: &str, body: &Markup) -> String {
    let page = html! {
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(style)) }
            }
            body { main { (body) } }
        }
    };
    format!("<!doctype html>\n{}\n", page.into_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Headings, cells and terms of a page, one a line: what is where, without the pictures.
    fn outline(page: &str) -> String {
        let kept = ["h1", "h2", "h3", "th", "td", "summary", "strong", "title"];
        let mut lines = Vec::new();
        for part in page.split('<').skip(1) {
            let (tag, text) = part.split_once('>').unwrap_or((part, ""));
            let name = tag.split(' ').next().unwrap_or(tag);
            match name {
                "tr" => lines.push("-".to_owned()),
                "svg" => lines.push("svg".to_owned()),
                _ if kept.contains(&name) && matches!(name, "th" | "td") => {
                    if let Some(last) = lines.last_mut() {
                        last.push_str(&format!(" | {text}"));
                    }
                }
                _ if kept.contains(&name) => lines.push(format!("{name}: {text}")),
                _ => {}
            }
        }
        lines.join("\n")
    }

    #[test]
    fn a_report_has_its_parts_in_order() {
        insta::assert_snapshot!("report", outline(&report::page(&testing::bare())));
    }

    #[test]
    fn a_comparison_has_its_parts_in_order() {
        let faster = |label: &str, ms: f64| testing::report(label, 6, move |_, n| ms + 0.01 * n as f64);
        let reports = [faster("laptop", 10.0), faster("phone <b>", 12.0)];
        let comparison = crate::compare::compare(&reports).unwrap();
        insta::assert_snapshot!("comparison", outline(&comparison::page(&comparison, Some("test-laptop"))));
    }

    /// A label comes from whoever made the file.
    #[test]
    fn texts_of_files_are_no_markup() {
        let bad = "<script src='x'>&\"";
        let table = Table { heading: vec![bad.into()], rows: vec![vec![bad.into()]], names: 1 };
        let page = document(bad, &figure(bad, bad, &html! {}, &[], &table));
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("<h3>&lt;script src='x'&gt;&amp;&quot;</h3>"), "{page}");
        // An attribute that ended at its quote would hold the rest as further attributes.
        assert!(page.contains("aria-label=\"&lt;script src='x'&gt;&amp;&quot;\""), "{page}");
    }
}
