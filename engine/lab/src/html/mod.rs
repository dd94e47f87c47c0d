//! Reports and comparisons as pages that ask nothing of any server, and the pieces they are made of. Every text of a
//! file goes through [`escape`].

mod charts;
pub mod comparison;
mod curves;
mod plots;
pub mod prediction;
pub mod report;

use std::fmt::Write as _;

pub use charts::COLOURS;
use understory_protocol::definitions::Definition;

pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A table; the first `names` columns are text, the others figures. A wide one scrolls in its own box.
pub struct Table {
    pub heading: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub names: usize,
}

impl Table {
    pub fn html(&self, caption: &str) -> String {
        let mut out = format!(
            "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table><thead><tr>",
            escape(caption)
        );
        for (nth, cell) in self.heading.iter().enumerate() {
            let _ = write!(out, "<th scope=\"col\"{}>{}</th>", self.class(nth), escape(cell));
        }
        out.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            out.push_str("<tr>");
            for (nth, cell) in row.iter().enumerate() {
                let _ = write!(out, "<td{}>{}</td>", self.class(nth), escape(cell));
            }
            out.push_str("</tr>");
        }
        out + "</tbody></table></div>"
    }

    fn class(&self, nth: usize) -> &'static str {
        if nth < self.names { "" } else { " class=\"n\"" }
    }
}

/// What a figure means, one click away.
pub fn meaning(definitions: &[&Definition]) -> String {
    let mut out = String::from("<details><summary>What this means</summary><dl>");
    for Definition { id, name, text, .. } in definitions {
        let _ = write!(out, "<dt>{} <code>{}</code></dt><dd>{}</dd>", escape(name), escape(id), escape(text));
    }
    out + "</dl></details>"
}

/// A chart with its title, its meaning and the same as a table.
pub fn figure(title: &str, note: &str, svg: &str, definitions: &[&Definition], table: &Table) -> String {
    format!(
        "<figure><figcaption><h3>{}</h3><p>{}</p></figcaption>{svg}{}<details><summary>The same as a \
         table</summary>{}</details></figure>",
        escape(title),
        escape(note),
        meaning(definitions),
        table.html(title)
    )
}

/// A whole document that asks nothing of any server.
pub fn document(title: &str, body: &str) -> String {
    styled_document(title, include_str!("style.css"), body)
}

/// As [`document`], with a style of its own.
pub fn styled_document(title: &str, style: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A label comes from whoever made the file.
    #[test]
    fn texts_of_files_are_no_markup() {
        let bad = "<script src='x'>&\"";
        let table = Table { heading: vec![bad.into()], rows: vec![vec![bad.into()]], names: 1 };
        let page = document(bad, &figure(bad, bad, "", &[], &table));
        assert!(!page.contains("<script") && !page.contains("src='"), "{page}");
        assert!(page.contains("&lt;script src=&#39;x&#39;&gt;&amp;&quot;"));
    }
}
