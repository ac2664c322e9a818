//! Which lines of the scripts a run goes through: for coverage, and to explain a decision.
//!
//! A traced run has an engine of its own with the language's debugger, which is asked before each step. It goes through
//! the same compiled scripts.
//!
//! **Invariant**: nobody is asked in a traced run: the answers of an earlier run stand in, and nothing is kept.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use rhai::debugger::DebuggerCommand;
use rhai::{AST, ASTNode, Engine, Position, Stmt};

/// The lines that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// By file, as errors name it.
    pub lines: BTreeMap<String, BTreeSet<usize>>,
    /// File and line in the order that they ran, each once.
    pub path: Vec<(String, usize)>,
}

impl Trace {
    fn add(&mut self, file: &str, line: usize) {
        let is_new = match self.lines.get_mut(file) {
            Some(lines) => lines.insert(line),
            None => self.lines.insert(file.to_owned(), BTreeSet::from([line])).is_none(),
        };
        if is_new {
            self.path.push((file.to_owned(), line));
        }
    }

    /// The lines of both, in the order of this one, then of the other.
    pub fn join(&mut self, other: &Trace) {
        other.path.iter().for_each(|(file, line)| self.add(file, *line));
    }
}

thread_local! {
    static TRACE: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

/// Does `work` and keeps the lines that an engine with [`register`] goes through.
pub(super) fn traced<T>(work: impl FnOnce() -> T) -> (T, Trace) {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            TRACE.set(None);
        }
    }
    TRACE.set(Some(Trace::default()));
    let _clear = Clear;
    let value = work();
    (value, TRACE.take().unwrap_or_default())
}

/// Lets an engine tell of each step.
#[expect(deprecated, reason = "rhai marks the debugger as volatile, not as going away")]
pub(super) fn register(engine: &mut Engine) {
    engine.register_debugger(
        |_, debugger| debugger,
        |_, _, node, source, _| {
            if let Some(line) = start(node).line() {
                TRACE.with_borrow_mut(|trace| {
                    if let Some(trace) = trace {
                        trace.add(source.unwrap_or_default(), line);
                    }
                });
            }
            Ok(DebuggerCommand::StepInto)
        },
    );
}

/// Where a step begins. A chain such as `a.b` has its own place at the dot.
fn start(node: ASTNode) -> Position {
    match node {
        ASTNode::Expr(value) => value.start_position(),
        ASTNode::Stmt(Stmt::Expr(value)) => value.start_position(),
        ASTNode::Stmt(Stmt::Assignment(both)) => both.1.lhs.start_position(),
        // The begin and the end of a function are told as nothing at all.
        ASTNode::Stmt(Stmt::Noop(_)) => Position::NONE,
        ASTNode::Stmt(statement) => statement.position(),
        _ => Position::NONE,
    }
}

/// The lines of functions on which something begins that can run: statements, and the arms of `switch`.
pub(super) fn code_lines(ast: &AST) -> BTreeSet<usize> {
    let mut lines = BTreeSet::new();
    ast.clone_functions_only().walk(&mut |path: &[ASTNode]| {
        let Some(node @ ASTNode::Stmt(statement)) = path.last() else { return true };
        match statement {
            Stmt::Noop(_) | Stmt::Block(_) | Stmt::Share(_) => {}
            Stmt::Switch(switch, _) => {
                lines.extend(start(*node).line());
                lines.extend(switch.1.expressions.iter().filter_map(|arm| arm.rhs.start_position().line()));
            }
            _ => lines.extend(start(*node).line()),
        }
        true
    });
    lines
}
