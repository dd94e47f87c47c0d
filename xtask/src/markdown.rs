//! What a Markdown document leads to and where others may lead into it, read as GitHub reads it.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Links and inline code come with their line, counted from one.
#[derive(Debug, Default)]
pub struct Document {
    /// What may stand after `#` in a link to this document.
    pub anchors: BTreeSet<String>,
    pub links: Vec<(usize, String)>,
    /// Inline code, not the blocks.
    pub code: Vec<(usize, String)>,
}

/// Reads a document: links and pictures, also those written in HTML.
pub fn read(text: &str) -> Document {
    let mut document = Document::default();
    let mut taken = BTreeMap::new();
    let mut heading: Option<String> = None;
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_GFM;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        let line = 1 + text[..range.start].matches('\n').count();
        if let (Some(heading), Event::Text(text) | Event::Code(text)) = (&mut heading, &event) {
            heading.push_str(text);
        }
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let heading = heading.take().unwrap_or_default();
                document.anchors.insert(unique(slug(&heading), &mut taken));
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                document.links.push((line, dest_url.into_string()));
            }
            Event::Code(code) => document.code.push((line, code.into_string())),
            Event::Html(html) | Event::InlineHtml(html) => {
                for name in ["href", "src", "srcset"] {
                    document.links.extend(attribute(&html, name).map(|value| (line, value.to_owned())));
                }
                document
                    .anchors
                    .extend(["id", "name"].iter().flat_map(|name| attribute(&html, name)).map(str::to_owned));
            }
            _ => {}
        }
    }
    document
}

/// The anchor that GitHub gives to a heading: lower case, letters, digits, `-` and `_` kept, spaces to `-`, the rest
/// dropped.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The second heading of one name ends in `-1`, the third in `-2`.
fn unique(slug: String, taken: &mut BTreeMap<String, usize>) -> String {
    let count = taken.entry(slug.clone()).or_default();
    *count += 1;
    if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
}

/// The values of an HTML attribute in double quotes.
fn attribute<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!(" {name}=\"");
    html.match_indices(&start)
        .filter_map(|(at, start)| html[at + start.len()..].split_once('"').map(|(value, _)| value))
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headings with the anchors that GitHub gives them. Turning every sign into `-` fails them, and so does dropping
    /// letters that are not ASCII.
    #[test]
    fn anchors_are_those_of_github() {
        let text = "# Row-count invariance\n## Why it's lossless, in 5 lines\n## `--dtype` & friends\n\
                    Ünï_code\n===\n## A [link](x) inside\n## Same\n### Same\n";
        let anchors = read(text).anchors;
        for anchor in [
            "row-count-invariance",
            "why-its-lossless-in-5-lines",
            "--dtype--friends",
            "ünï_code",
            "a-link-inside",
            "same",
            "same-1",
        ] {
            assert!(anchors.contains(anchor), "{anchor} in {anchors:?}");
        }
    }

    /// What is in a block of code is no link; what is written in HTML is one.
    #[test]
    fn links_of_every_form_are_found() {
        let text = "[a](one.md)\n\n```\n[b](no.md) `no/path.rs`\n```\n\n![c](two.png) <a href=\"three.md\">x</a>\n\n\
                    | `four.rs` | <img src=\"five.png\" width=\"3\"> |\n|-|-|\n| [r] | |\n\n\
                    <picture>\n<source srcset=\"six.png\">\n</picture>\n<a id=\"here\"></a>\n\n[r]: seven.md\n";
        let document = read(text);
        let links: Vec<(usize, &str)> = document.links.iter().map(|(line, link)| (*line, link.as_str())).collect();
        assert_eq!(
            links,
            [(1, "one.md"), (7, "two.png"), (7, "three.md"), (9, "five.png"), (11, "seven.md"), (14, "six.png")]
        );
        assert_eq!(document.code, [(9, "four.rs".to_owned())]);
        assert!(document.anchors.contains("here"));
    }
}
