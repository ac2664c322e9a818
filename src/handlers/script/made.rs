//! Where in the scripts an answer was made: `deny(...)`, `linux(...)`, `menu(...)`, `pass()`, or a bare `true`.
//!
//! What the builders give carries the place of their call. A bare value carries nothing, so the places where a function
//! ends are read from the script when it is loaded; where several of them could have given the value, the run is traced.
//!
//! **Invariant**: a run that answers with a builder pays for it with one name of a file, mostly shared, and nothing else.

use std::cell::RefCell;
use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Array, Dynamic, Engine, EvalAltResult, Expr, ImmutableString, NativeCallContext, Stmt};
use rhai::{Position, Variant};

use super::answer::{Pass, Refer, Ruling};
use super::ask::Asking;
use super::images::{Image, ImageMenu};

/// A file and a line of it, from 1; line 0 is nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    file: ImmutableString,
    line: usize,
}

impl Place {
    /// The file and the line.
    pub(super) fn parts(&self) -> (&str, usize) {
        (&self.file, self.line)
    }

    /// As `FILE:LINE`; empty for nowhere.
    pub(super) fn show(&self) -> String {
        if self.line == 0 { String::new() } else { format!("{}:{}", self.file, self.line) }
    }
}

/// What a builder gives: it knows where it was made.
pub(super) trait Made: Variant + Clone {
    /// Where.
    fn place(&self) -> &Place;

    /// Notes where.
    fn set_place(&mut self, place: Place);
}

type Built<T> = Result<T, Box<EvalAltResult>>;

thread_local! {
    /// The file that was named last in this thread: decisions name the same ones again and again.
    static FILE: RefCell<ImmutableString> = RefCell::default();
}

/// The name of a file, without a copy where it is that of the last time.
fn shared(file: &str) -> ImmutableString {
    FILE.with_borrow_mut(|known| {
        if known.as_str() != file {
            *known = file.into();
        }
        known.clone()
    })
}

fn stamp<T: Made>(context: &NativeCallContext, built: Built<T>) -> Built<T> {
    built.map(|mut value| {
        let file = shared(context.call_source().unwrap_or_default());
        value.set_place(Place { file, line: context.call_position().line().unwrap_or(0) });
        value
    })
}

/// Registers functions whose result may be an answer.
pub(super) struct Builders<'a>(pub(super) &'a mut Engine);

impl Builders<'_> {
    /// One without arguments.
    pub(super) fn none<T: Made>(&mut self, name: &str, build: impl Fn() -> Built<T> + Send + Sync + 'static) {
        self.0.register_fn(name, move |context: NativeCallContext| stamp(&context, build()));
    }

    /// One with an argument.
    pub(super) fn one<A: Variant + Clone, T: Made>(
        &mut self,
        name: &str,
        build: impl Fn(A) -> Built<T> + Send + Sync + 'static,
    ) {
        self.0.register_fn(name, move |context: NativeCallContext, a: A| stamp(&context, build(a)));
    }

    /// One with two arguments.
    pub(super) fn two<A: Variant + Clone, B: Variant + Clone, T: Made>(
        &mut self,
        name: &str,
        build: impl Fn(A, B) -> Built<T> + Send + Sync + 'static,
    ) {
        self.0.register_fn(name, move |context: NativeCallContext, a: A, b: B| stamp(&context, build(a, b)));
    }
}

/// What is known of where an answer was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Here.
    Known(Place),
    /// It is a value of the language, and came from one of these lines of the function's file.
    OneOf(Vec<usize>),
}

/// Where an answer was made, of a function with these ends.
pub(super) fn origin(value: &Dynamic, ends: &[End]) -> Origin {
    match placed(value) {
        Some(place) if place.line > 0 => Origin::Known(place),
        _ => Origin::OneOf(candidates(value, ends)),
    }
}

fn placed(value: &Dynamic) -> Option<Place> {
    fn of<T: Made>(value: &Dynamic) -> Option<Place> {
        value.read_lock::<T>().map(|value| value.place().clone())
    }
    let first = |images: &Array| images.first().and_then(placed);
    of::<Ruling>(value)
        .or_else(|| of::<Image>(value))
        .or_else(|| of::<ImageMenu>(value))
        .or_else(|| of::<Asking>(value))
        .or_else(|| of::<Pass>(value))
        .or_else(|| of::<Refer>(value))
        .or_else(|| value.read_lock::<Array>().and_then(|images| first(&images)))
}

/// The lines that may have given a bare value: an end that says just this one, else those that compute one.
fn candidates(value: &Dynamic, ends: &[End]) -> Vec<usize> {
    let gives = |end: &&End| match end.gives {
        Gives::Truth(truth) => value.as_bool() == Ok(truth),
        Gives::Nothing | Gives::Omitted(_) => value.is_unit(),
        Gives::Array => value.is_array(),
        Gives::Anything => true,
        Gives::Answer => false,
    };
    ends.iter().filter(gives).map(|end| end.line).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A place where a function may end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) line: usize,
    pub(super) gives: Gives,
}

/// What a function that ends there gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    Truth(bool),
    Nothing,
    /// Nothing, because an `else` is missing; with when that is so.
    Omitted(&'static str),
    Array,
    /// What a function of the contract builds.
    Answer,
    Anything,
}

/// The ends of a function with one parameter; `is_builder` are the functions that build answers.
pub(super) fn ends(ast: &AST, function: &str, is_builder: impl Fn(&str) -> bool) -> Vec<End> {
    let ast = ast.clone_functions_only_filtered(|_, _, _, name, params| name == function && params == 1);
    let mut found = Ends { is_builder, ends: Vec::new() };
    let mut last: Option<Stmt> = None;
    ast.walk(&mut |path: &[ASTNode]| {
        if let [ASTNode::Stmt(statement)] = path {
            last = Some((*statement).clone());
        }
        if let Some(ASTNode::Stmt(Stmt::Return(value, flags, at))) = path.last()
            && !flags.contains(rhai::ASTFlags::BREAK)
        {
            match value {
                Some(value) => found.expression(value),
                None => found.push(*at, Gives::Nothing),
            }
        }
        true
    });
    if let Some(last) = last {
        found.statement(&last);
    }
    found.ends
}

struct Ends<F> {
    is_builder: F,
    ends: Vec<End>,
}

impl<F: Fn(&str) -> bool> Ends<F> {
    fn push(&mut self, at: Position, gives: Gives) {
        self.ends.extend(at.line().map(|line| End { line, gives }));
    }

    /// The last statement of a block.
    fn block<'a>(&mut self, statements: impl Iterator<Item = &'a Stmt>, otherwise: Position) {
        match statements.last() {
            Some(last) => self.statement(last),
            None => self.push(otherwise, Gives::Nothing),
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Expr(value) => self.expression(value),
            Stmt::FnCall(call, at) => self.call(&call.name, *at),
            Stmt::If(flow, at) => {
                self.block(flow.body.iter(), *at);
                match flow.branch.iter().next() {
                    Some(_) => self.block(flow.branch.iter(), *at),
                    None => self.push(*at, Gives::Omitted("this `if` does not hold")),
                }
            }
            Stmt::Block(block) => self.block(block.iter(), block.position()),
            Stmt::Switch(switch, at) => {
                let (_, cases) = &**switch;
                cases.expressions.iter().for_each(|case| self.expression(&case.rhs));
                if cases.def_case.is_none() {
                    self.push(*at, Gives::Omitted("no line of this `switch` fits"));
                }
            }
            Stmt::TryCatch(flow, at) => {
                self.block(flow.body.iter(), *at);
                self.block(flow.branch.iter(), *at);
            }
            // These are found wherever they stand.
            Stmt::Return(..) => {}
            other => self.push(other.position(), Gives::Nothing),
        }
    }

    fn expression(&mut self, value: &Expr) {
        let at = value.start_position();
        match value {
            Expr::BoolConstant(truth, _) => self.push(at, Gives::Truth(*truth)),
            Expr::Unit(_) => self.push(at, Gives::Nothing),
            Expr::Array(..) => self.push(at, Gives::Array),
            Expr::DynamicConstant(constant, _) if constant.is_array() => self.push(at, Gives::Array),
            Expr::FnCall(call, _) => self.call(&call.name, at),
            Expr::Stmt(block) => self.block(block.iter(), at),
            _ => self.push(at, Gives::Anything),
        }
    }

    fn call(&mut self, name: &str, at: Position) {
        let gives = if (self.is_builder)(name) { Gives::Answer } else { Gives::Anything };
        self.push(at, gives);
    }
}
