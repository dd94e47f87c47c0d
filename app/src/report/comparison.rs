//! Reports side by side, as text for a terminal.

use std::fmt::Write as _;

use understory_lab::compare::Comparison;
use understory_lab::html::comparison::{compared, is_told, letter, name, shown, standing, title};
use understory_lab::rendering::flag_name;
use understory_lab::view::estimate;
use understory_protocol::figures::rounded;
use understory_protocol::foreign;

use crate::output::columns;

pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    for (nth, column) in comparison.columns.iter().enumerate() {
        let (label, runtime) = (foreign::shown(&column.label), foreign::shown(&column.runtime));
        let _ = writeln!(out, "{}  {label} ({runtime}), {}", letter(nth), foreign::shown(&column.started_at));
        if let Some(refusal) = &column.refused {
            let _ = writeln!(out, "   not compared: {}", one_line(&refusal.to_string()));
        }
        let flags: Vec<&str> = column.flags.iter().map(|flag| flag_name(flag.kind)).collect();
        if !flags.is_empty() {
            let _ = writeln!(out, "   before you believe it: {}", flags.join(", "));
        }
    }
    let compared: Vec<usize> = compared(comparison);
    for case in &comparison.cases {
        let _ = writeln!(out, "\n{}", one_line(&title(case)));
        let mut heading = vec![String::new()];
        for &nth in &compared {
            heading.extend([letter(nth), String::new()]);
            heading.extend((nth != compared[0]).then(|| format!("{} / {}", letter(nth), letter(compared[0]))));
        }
        let mut rows = vec![heading];
        for row in case.rows.iter().filter(|row| is_told(case, row)) {
            let mut line = vec![format!("  {}", name(&row.metric))];
            for &nth in &compared {
                let cell = row.cells.get(nth).and_then(Option::as_ref);
                line.push(cell.map_or("-".into(), |cell| rounded(shown(&row.metric, &cell.median).value)));
                line.push(cell.map_or("", standing).into());
                if nth != compared[0] {
                    line.push(cell.map_or("-".into(), |cell| estimate(&cell.to_first)));
                }
            }
            rows.push(line);
        }
        let rest = compared.iter().map(|&nth| if nth == compared[0] { "><" } else { "><>" });
        out.push_str(&columns(&format!("<{}", rest.collect::<String>()), &rows));
    }
    if !comparison.alone.is_empty() {
        let _ = writeln!(out, "\nOnly in one report, so not compared:");
        comparison.alone.iter().for_each(|case| out.push_str(&format!("  {}\n", one_line(case))));
    }
    if let Some(note) = &comparison.note {
        let _ = writeln!(out, "\n{note}");
    }
    out + "\nMedians; a ratio is to the first, with its interval. A tie: the data do not tell them apart, or the runs are too \
           few to.\n"
}

/// Words that hold names of a report, of a readable length.
fn one_line(words: &str) -> String {
    foreign::message(words).replace('\n', "?")
}
