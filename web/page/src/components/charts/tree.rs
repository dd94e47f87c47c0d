//! A round's tree: the root at the left, a column a depth, the accepted path filled, the target's own token at its end.

use leptos::prelude::*;
use understory_protocol::{NodeOrigin, Round, RoundNode};

use crate::state::run::TracedRound;
use crate::wording::format;

const WIDTH: f64 = 104.0;
const HEIGHT: f64 = 26.0;
const COLUMN: f64 = WIDTH + 30.0;
const ROW: f64 = HEIGHT + 8.0;
const MARGIN: f64 = 4.0;
/// characters of a token that fit a node
const FIT: usize = 12;

/// A node as it is drawn.
struct Shape {
    text: String,
    class: &'static str,
    title: String,
    parent: Option<usize>,
    column: usize,
    row: f64,
}

/// `own`: the text of the target's own token, which ends the round.
pub fn tree(traced: &TracedRound, own: Option<String>) -> impl IntoView + use<> {
    let shapes = shapes(traced, own);
    let columns = shapes.iter().map(|shape| shape.column).max().unwrap_or(0) + 1;
    let rows = shapes.iter().map(|shape| shape.row).fold(0.0, f64::max) + 1.0;
    let (width, height) = (columns as f64 * COLUMN - (COLUMN - WIDTH) + 2.0 * MARGIN, rows * ROW + 2.0 * MARGIN);
    let at = |shape: &Shape| (MARGIN + shape.column as f64 * COLUMN, MARGIN + shape.row * ROW);
    let edges = shapes.iter().filter_map(|shape| {
        let (from_x, from_y) = at(&shapes[shape.parent?]);
        let (to_x, to_y) = at(shape);
        let (from_x, from_y, to_y) = (from_x + WIDTH, from_y + HEIGHT / 2.0, to_y + HEIGHT / 2.0);
        let middle = (from_x + to_x) / 2.0;
        let d = format!("M{from_x} {from_y}C{middle} {from_y} {middle} {to_y} {to_x} {to_y}");
        Some(view! { <path class=format!("edge {}", shape.class) d=d /> })
    });
    let edges = edges.collect_view();
    let nodes = shapes.iter().map(|shape| {
        let (x, y) = at(shape);
        view! {
            <g class=format!("node {}", shape.class)>
                <title>{shape.title.clone()}</title>
                <rect x=x.to_string() y=y.to_string() width=WIDTH.to_string() height=HEIGHT.to_string() rx="6" />
                <text x=(x + WIDTH / 2.0).to_string() y=(y + HEIGHT / 2.0).to_string()>
                    {format::token(&shape.text, FIT)}
                </text>
            </g>
        }
    });
    let nodes = nodes.collect_view();
    let round = &traced.round;
    let title = format!(
        "The tree of round {}: {}, {} accepted",
        round.index + 1,
        format::count(round.nodes.len().saturating_sub(1), "drafted token"),
        round.path.len().saturating_sub(1)
    );
    view! {
        <svg
            class="tree"
            viewBox=format!("0 0 {width} {height}")
            width=width.to_string()
            height=height.to_string()
            role="img"
        >
            <title>{title}</title>
            {edges}
            {nodes}
        </svg>
    }
}

fn shapes(traced: &TracedRound, own: Option<String>) -> Vec<Shape> {
    let round = &traced.round;
    let mut shapes: Vec<Shape> = nodes(round)
        .enumerate()
        .map(|(row, node)| Shape {
            text: traced.texts.get(row).cloned().unwrap_or_default(),
            class: class(round, row),
            title: describe(traced, row, node),
            parent: node.parent,
            column: node.depth,
            row: 0.0,
        })
        .collect();
    if let (Some(text), Some(&parent)) = (own, round.path.last()) {
        let (title, column) = (format!("{text:?}: the target's own token"), round.path.len());
        shapes.push(Shape { text, class: "own", title, parent: Some(parent), column, row: 0.0 });
    }
    let mut next_row = 0.0;
    if !shapes.is_empty() {
        place(&mut shapes, 0, &mut next_row);
    }
    shapes
}

/// Leaves in rows of their own, from the top; every other node in the middle of its children.
fn place(shapes: &mut [Shape], at: usize, next_row: &mut f64) {
    let children: Vec<usize> = (0..shapes.len()).filter(|&row| shapes[row].parent == Some(at)).collect();
    for &child in &children {
        place(shapes, child, next_row);
    }
    shapes[at].row = match (children.first(), children.last()) {
        (Some(&first), Some(&last)) => (shapes[first].row + shapes[last].row) / 2.0,
        _ => std::mem::replace(next_row, *next_row + 1.0),
    };
}

/// The verified nodes, then the pruned ones.
pub fn nodes(round: &Round) -> impl Iterator<Item = &RoundNode> {
    round.nodes.iter().chain(&round.pruned)
}

fn class(round: &Round, row: usize) -> &'static str {
    let accepted = round.path.contains(&row);
    let Some(node) = round.nodes.get(row) else { return "drafted pruned" };
    match node.origin {
        NodeOrigin::Root => "root",
        NodeOrigin::Draft { .. } if accepted => "drafted accepted",
        NodeOrigin::Lookup if accepted => "looked-up accepted",
        NodeOrigin::Draft { .. } => "drafted",
        NodeOrigin::Lookup => "looked-up",
    }
}

fn describe(traced: &TracedRound, row: usize, node: &RoundNode) -> String {
    let text = traced.texts.get(row).map(String::as_str).unwrap_or_default();
    format!("{text:?}: {}", what(&traced.round, row, node))
}

/// `drafted, depth 2, choice 1 among its siblings, path probability 0.43, accepted`
pub fn what(round: &Round, row: usize, node: &RoundNode) -> String {
    let fate = match row {
        _ if row >= round.nodes.len() => "pruned: not worth verifying",
        _ if round.path.contains(&row) => "accepted",
        _ => "rejected",
    };
    match node.origin {
        NodeOrigin::Root => "the root, the last token before the round".into(),
        NodeOrigin::Draft { rank } => format!(
            "drafted, depth {}, choice {rank} among its siblings, path probability {:.3}, {fate}",
            node.depth,
            node.log_prob.exp()
        ),
        NodeOrigin::Lookup => format!("looked up, depth {}, {fate}", node.depth),
    }
}
