//! A template as a tree. It holds no value, so that it can go from thread to thread.

/// A name of the template, by its place in [`Program::names`](crate::Program).
pub type Symbol = u32;

/// An expression where it stands.
#[derive(Debug)]
pub struct Expr {
    pub node: Node,
    /// from 1
    pub line: u32,
    /// levels of expressions, this one included
    pub depth: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// place among the program's texts
    Str(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

#[derive(Debug)]
pub enum Node {
    Const(Literal),
    Name(Symbol),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attribute(Box<Expr>, String),
    Item(Box<Expr>, Box<Expr>),
    /// only as the index of an `Item`
    Slice(Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Box<Arguments>),
    /// `None`: what a block of statements printed
    Filter(Option<Box<Expr>>, String, Box<Arguments>),
    Test(Box<Expr>, String, Box<Arguments>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    /// test, value, value otherwise
    Conditional(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
}

#[derive(Debug, Default)]
pub struct Arguments {
    pub positional: Vec<Expr>,
    pub keyword: Vec<(String, Expr)>,
    /// `*args`
    pub star: Option<Expr>,
    /// `**kwargs`
    pub double_star: Option<Expr>,
}

/// What is assigned to.
#[derive(Debug)]
pub enum Target {
    Name(Symbol),
    /// an attribute of a namespace
    Attribute(Symbol, String),
    Tuple(Vec<Target>),
}

/// What a macro takes beyond its arguments, because its body asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Catches {
    pub varargs: bool,
    pub kwargs: bool,
    pub caller: bool,
}

#[derive(Debug)]
pub struct MacroNode {
    /// `None`: the body of a call block
    pub name: Option<String>,
    pub arguments: Vec<(String, Symbol)>,
    /// of the last arguments
    pub defaults: Vec<Expr>,
    pub body: Vec<Statement>,
    pub catches: Catches,
}

#[derive(Debug)]
pub struct ForNode {
    pub target: Target,
    pub iterable: Expr,
    pub test: Option<Expr>,
    pub recursive: bool,
    pub body: Vec<Statement>,
    pub otherwise: Vec<Statement>,
}

#[derive(Debug)]
pub struct Statement {
    pub kind: StatementKind,
    pub line: u32,
}

#[derive(Debug)]
pub enum StatementKind {
    Text(String),
    Print(Expr),
    /// place among the program's loops
    For(usize),
    /// conditions with their bodies, and what happens otherwise
    If(Vec<(Expr, Vec<Statement>)>, Vec<Statement>),
    Set(Target, Expr),
    /// the printed text, through filters
    SetBlock(Target, Option<Expr>, Vec<Statement>),
    /// name, and place among the program's macros
    Macro(Symbol, usize),
    /// the call, and the place of its body among the program's macros
    CallBlock(Expr, usize),
    FilterBlock(Expr, Vec<Statement>),
    With(Vec<(Target, Expr)>, Vec<Statement>),
    Block {
        body: Vec<Statement>,
        scoped: bool,
        required: bool,
    },
    /// statements in a scope of their own
    Scope(Vec<Statement>),
    Autoescape(Expr, Vec<Statement>),
    /// `include`, `import`, `from`, `extends`: there are no other templates
    Other(&'static str),
    Break,
    Continue,
}
