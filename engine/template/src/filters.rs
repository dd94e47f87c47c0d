//! The filters behind `|`: Jinja2's own, and `tojson` as transformers has it.

mod attributes;
mod groups;
mod html;
mod numbers;
mod pprint;
mod select;
mod sequences;
mod sorting;
mod text;
mod urlize;
mod wrap;

use crate::args::Args;
use crate::error::{Result, runtime};
use crate::interpreter::Interpreter;
use crate::json;
use crate::value::Value;

pub(crate) use html::{escape, escaped};

type Filter = fn(&mut Interpreter<'_>, Value, Args) -> Result<Value>;

pub(crate) fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// `value|name(args)`.
#[inline(never)]
pub(crate) fn apply(interpreter: &mut Interpreter<'_>, name: &str, value: Value, args: Args) -> Result<Value> {
    match find(name) {
        Some(filter) => filter(interpreter, value, args),
        None => runtime(format!("No filter named '{name}'.")),
    }
}

fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "abs" => numbers::abs,
        "attr" => attributes::attr,
        "batch" => groups::batch,
        "capitalize" => text::capitalize,
        "center" => text::center,
        "count" | "length" => sequences::length,
        "d" | "default" => sequences::default,
        "dictsort" => sorting::dictsort,
        "e" | "escape" => html::escape_filter,
        "filesizeformat" => numbers::filesizeformat,
        "first" => sequences::first,
        "float" => numbers::float,
        "forceescape" => html::forceescape,
        "format" => text::format,
        "groupby" => sorting::groupby,
        "indent" => text::indent,
        "int" => numbers::int,
        "items" => sequences::items,
        "join" => sequences::join,
        "last" => sequences::last,
        "list" => sequences::list,
        "lower" => text::lower,
        "map" => select::map,
        "max" => sorting::max,
        "min" => sorting::min,
        "pprint" => pprint::pprint,
        "random" => sequences::random,
        "reject" => select::reject,
        "rejectattr" => select::rejectattr,
        "replace" => text::replace,
        "reverse" => sequences::reverse,
        "round" => numbers::round,
        "safe" => html::safe,
        "select" => select::select,
        "selectattr" => select::selectattr,
        "slice" => groups::slice,
        "sort" => sorting::sort_filter,
        "string" => text::string,
        "striptags" => html::striptags,
        "sum" => sequences::sum,
        "title" => text::title,
        "tojson" => |interpreter, value, args| json::tojson(&interpreter.budget, &value, args),
        "trim" => text::trim,
        "truncate" => text::truncate,
        "unique" => sorting::unique,
        "upper" => text::upper,
        "urlencode" => html::urlencode,
        "urlize" => urlize::urlize,
        "wordcount" => text::wordcount,
        "wordwrap" => wrap::wordwrap,
        "xmlattr" => html::xmlattr,
        _ => return None,
    })
}
