//! What a front end can offer to switch.

use understory_template::Template;

/// A search for words in the source takes `unset`, `listed` and `messages` too; one that asks for `is defined` misses
/// `think`.
#[test]
fn switches_are_conditions_that_the_template_leaves_to_its_caller() {
    let source = "{% if not unset is defined %}{% set unset = true %}{% endif %}{% if unset %}{% endif %}
        {% if enable_thinking is defined and enable_thinking is false %}{% endif %}
        {% for m in messages if think %}{{ 'a' if short == true else m }}{% endfor %}
        {% if listed %}{% for x in listed %}{% endfor %}{% endif %}
        {% if tools or bos_token or add_generation_prompt %}{{ name }}{% endif %}
        {% macro f(inner) %}{% if inner and deep|default(false) %}{% endif %}{% endmacro %}
        {% if strftime_now is defined and x.y %}{% endif %}";
    let template = Template::new(source).unwrap();
    assert_eq!(template.switches(), ["deep", "enable_thinking", "short", "think"]);
}
