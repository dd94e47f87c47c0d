//! Templates that want to harm who renders them. Each runs on a small stack, ends in time, and ends with an error that
//! says why, or with a text.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use understory_template::{ErrorKind, Template, TemplateError, Value};

/// A small stack: a browser's worker has twice as much.
const STACK: usize = 512 << 10;
/// Against a hang; the work takes a fraction of it.
const DEADLINE: Duration = Duration::from_secs(60);

fn rendered(source: String) -> Result<String, Box<TemplateError>> {
    let (done, result) = mpsc::channel();
    let work = move || {
        let outcome = Template::new(&source).and_then(|template| {
            template.switches();
            template.render(&[("s", Value::from("text"))], &|| false)
        });
        done.send(outcome).expect("the test waits");
    };
    std::thread::Builder::new().stack_size(STACK).spawn(work).expect("a thread");
    result.recv_timeout(DEADLINE).expect("an end in time, without a panic")
}

fn is_limit(source: &str) {
    let shown: String = source.chars().take(60).collect();
    match rendered(source.to_owned()) {
        Err(error) => assert_eq!(error.kind, ErrorKind::Limit, "{shown}: {error}"),
        Ok(text) => panic!("{shown}: {} bytes of text", text.len()),
    }
}

/// A parser that recurses for each of them overflows its stack; one that builds a tree as deep does when it is run or
/// dropped.
#[test]
fn nesting_in_the_source_ends() {
    let closed = |open: &str, close: &str| format!("{{{{ {}1{} }}}}", open.repeat(100_000), close.repeat(100_000));
    let long = |open: &str, part: &str, close: &str| {
        let parts = part.repeat(300_000 / part.len());
        format!("{{{{ {open}{parts}{close} }}}}")
    };
    for source in [
        long("", "-", "1"),
        long("", "not ", "1"),
        closed("(", ")"),
        closed("[", "]"),
        closed("{1:", "}"),
        long("1", "+1", ""),
        long("1", "**1", ""),
        long("1", " and 1", ""),
        long("1", " or 1", ""),
        long("1", " if 1 else 1", ""),
        long("1", " if 1", ""),
        long("s", ".s", ""),
        long("s", "[0]", ""),
        long("s", "()", ""),
        long("s", "|upper", ""),
        closed("s(", ")"),
        closed("s[", "]"),
        "{% if 1 %}".repeat(20_000),
        "{% for a in s %}".repeat(20_000),
        "{% macro a() %}".repeat(20_000),
        "{% call a() %}".repeat(20_000),
        "{% set a %}".repeat(20_000),
        format!("{{% for {}", "(".repeat(100_000)),
        "x".repeat((1 << 20) + 1),
    ] {
        is_limit(&source);
    }
}

/// Flat however long: what Jinja2 takes must not be refused, and must not recurse.
#[test]
fn long_and_flat_is_fine() {
    let elif = format!("{{% if 0 %}}{}{{% else %}}e{{% endif %}}", "{% elif 0 %}".repeat(20_000));
    assert_eq!(rendered(elif).expect("renders"), "e");
    let list = format!("{{{{ [{}]|length }}}}", "1,".repeat(50_000));
    assert_eq!(rendered(list).expect("renders"), "50000");
    let joined = format!("{{{{ (1{})|length }}}}", "~1".repeat(50_000));
    assert_eq!(rendered(joined).expect("renders"), "50001");
    let many: String = (0..5000).map(|n| format!("{{% set a{n} = {n} %}}")).collect();
    assert_eq!(rendered(many + "{{ a4999 }}").expect("renders"), "4999");
    let deep = format!("{}x{}", "{% if 1 %}".repeat(60), "{% endif %}".repeat(60));
    assert_eq!(rendered(deep).expect("renders"), "x");
}

/// Without a bound on steps these run for hours.
#[test]
fn work_without_end_ends() {
    for source in [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(100) }}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{% if 'b' in x %}{% endif %}{% endfor %}",
        "{% set x = 'é' * 1000000 %}{% for i in range(100000) %}{% set y = x[999999] %}{% endfor %}",
        "{% set x = range(100000)|list %}{% for i in range(100000) %}{% set y = -1 in x %}{% endfor %}",
        "{% set x = range(100000)|list %}{% for i in range(100000) %}{% set y = x|sort %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99) %}{% set y = '%.300g'|format(1e-300) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99) %}{% set y = strftime_now('%c%c') %}{% endfor %}{% endfor %}",
    ] {
        is_limit(source);
    }
}

/// Charged after it was made, each of these takes gigabytes first.
#[test]
fn memory_without_end_ends() {
    for source in [
        "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{{ 'a' * 99999999999 }}",
        "{{ [1, 2] * 99999999999 }}",
        "{{ [1, 2, 3]|batch(1000000000000, 'x')|list }}",
        "{{ [1]|slice(1000000000000)|list }}",
        "{{ '%1000000000000d'|format(1) }}",
        "{{ '%.1000000000f'|format(1) }}",
        "{{ '%*d' % (1000000000000, 1) }}",
        "{{ '{:1000000000000}'.format(1) }}",
        "{{ '{:.1000000000f}'.format(1.0) }}",
        "{{ '{:01000000000,}'.format(1) }}",
        "{{ [1]|tojson(indent=100000000000) }}",
        "{{ 'a'.center(1000000000000) }}",
        "{{ 'a'|center(1000000000000) }}",
        "{{ 'a'.zfill(1000000000000) }}",
        "{{ 'a'.ljust(1000000000000, 'é') }}",
        "{{ '\t'.expandtabs(1000000000000) }}",
        "{{ 'a'|indent(1000000000000, true) }}",
        "{% set x = 'a' * 1000000 %}{{ x|replace('a', x) }}",
        "{% set x = 'a' * 1000000 %}{{ x.join(x) }}",
        "{% set x = 'a ' * 1000000 %}{{ x|wordwrap(1, wrapstring=x) }}",
        "{% set x = '{0}' * 100000 %}{{ x.format('a' * 10000) }}",
        "{% set x = 'a' * 1000000 %}{% for i in range(1000) %}{{ x }}{% endfor %}",
        "{{ range(100001) }}",
        "{{ 10 ** 30 * 10 ** 30 }}",
        "{{ 9 ** 9 ** 9 }}",
    ] {
        is_limit(source);
    }
}

/// A value that holds itself, and chains through each kind of value: printing, comparing or dropping them through
/// themselves overflows the stack.
#[test]
fn nesting_of_values_ends() {
    let ring = "{% set n = namespace(x='') %}{% set n.x = n %}{{ n }}";
    assert_eq!(rendered(ring.into()).expect("renders"), "<Namespace {'x': <Namespace {...}>}>");
    for link in [
        "[n.x]",
        "(n.x,)",
        "{'a': n.x}",
        "{'a': n.x}.items()",
        "[n.x].index",
        "[n.x]|select",
        "cycler(n.x)",
        "joiner(n.x)",
        "[{'a': 1, 'b': n.x}]|groupby('a')",
    ] {
        let chain = "{% set n = namespace(x=['a']) %}{% for i in range(100000) %}{% set n.x = LINK %}{% endfor %}";
        is_limit(&chain.replace("LINK", link));
    }
    for chain in [
        "{% set p = namespace(x=n.x) %}{% set n.x = p %}",
        "{% set p = n.x %}{% macro m() %}{{ p }}{% endmacro %}{% set n.x = m %}",
        "{% for y in [n.x] %}{% set n.x = loop %}{% endfor %}",
        "{% for y in [n.x] recursive %}{% set n.x = loop %}{% endfor %}",
        "{% for y in [n.x] if y %}{% set n.x = loop %}{% endfor %}",
        "{% call(a=n.x) m() %}{% endcall %}",
    ] {
        let source = "{% macro m() %}{{ caller is defined }}{% endmacro %}{% set n = namespace(x=1) %}\
                      {% for i in range(50000) %}CHAIN{% endfor %}ok";
        let text = rendered(source.replace("CHAIN", chain)).expect("renders");
        assert!(text.ends_with("ok"), "{chain}");
    }
    let tower = "{% set n = namespace(x=(1,), y=(1,)) %}{% for i in range(100) %}{% set n.x = (n.x, n.x) %}\
                 {% set n.y = (n.y, n.y) %}{% endfor %}";
    for end in
        ["{{ n.x == n.y }}", "{{ n.x }}", "{{ n.x|tojson }}", "{{ {n.x: 1} }}", "{{ n.x < n.y }}", "{{ n.x|pprint }}"]
    {
        is_limit(&format!("{tower}{end}"));
    }
}

/// Stop must reach a template that runs.
#[test]
fn rendering_can_be_interrupted() {
    let source = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() == 3
    };
    let error = Template::new(source).unwrap().render(&[], &stop).unwrap_err();
    assert_eq!((error.kind, asked.get()), (ErrorKind::Interrupted, 3));
}

/// Messages go to terminals and pages: a template's own, however long, must not.
#[test]
fn messages_are_bounded() {
    for source in [
        "{{ raise_exception('x' * 1000000) }}".to_owned(),
        "{% set n = 'x' * 1000000 %}{{ {}[n].y }}".to_owned(),
        "{{ {}['x' * 1000000] + 1 }}".to_owned(),
        format!("{{{{ {}() }}}}", "x".repeat(100_000)),
        format!("{{{{ 1|{} }}}}", "x".repeat(100_000)),
        format!("{{% {} %}}", "x".repeat(100_000)),
        format!("{{{{ '%({})s' % {{}} }}}}", "x".repeat(100_000)),
    ] {
        let error = rendered(source).unwrap_err();
        assert!(error.message.chars().count() <= 501, "{} characters", error.message.chars().count());
    }
    let own = rendered("{{ raise_exception('no ' ~ s) }}".into()).unwrap_err();
    assert_eq!((own.kind, own.to_string()), (ErrorKind::Raised, "no text".into()));
    let line = rendered("a\n\n{{ 1 / 0 }}".into()).unwrap_err();
    assert_eq!((line.kind, line.line), (ErrorKind::Runtime, Some(3)));
}

/// Rings are taken apart at the end: rendering a thousand times must not keep a thousand of them. Here only that it
/// works time and again.
#[test]
fn a_template_renders_time_and_again() {
    let source =
        "{% set n = namespace(x='') %}{% set n.x = n %}{% macro m() %}{{ m.name }}{% endmacro %}{{ m() }}{{ s }}";
    let template = Template::new(source).unwrap();
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(template.render(&[("s", Value::from("x"))], &|| false).unwrap(), "mx");
    }
    assert!(start.elapsed() < DEADLINE);
}
