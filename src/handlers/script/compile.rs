//! One script file on its way to what can be run: read, compiled, looked through for slips, its top level run once.
//!
//! **Invariant**: what is wrong is added to the errors, with its place; nothing ends the search for more of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rhai::{AST, Engine};

use super::diagnose::{self, ScriptError, at_place};
use super::made::{self, End};
use super::modules::{Loader, Modules, Trail, read};
use super::question::Question;
use super::sandbox::{self, Budget, Place};
use super::sources::Sources;
use super::{ScriptConfig, api, notes, trace};
use crate::nearest::cut;

/// The script that may answer one question.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) file: String,
    /// Absent when the script does not have the function.
    pub(super) ast: Option<AST>,
    /// Where the function may end.
    pub(super) ends: Vec<End>,
}

/// What the scripts of a site are compiled with, and where their errors go.
pub(super) struct Compile<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) sources: &'a mut Sources,
    pub(super) config: &'a ScriptConfig,
    pub(super) modules: &'a mut Modules,
    pub(super) errors: &'a mut Vec<ScriptError>,
}

impl Compile<'_> {
    /// Reads a script, runs its top level once, and finds the function that answers.
    pub(super) fn script(&mut self, path: &Path, question: Question) -> Script {
        let file = path.display().to_string();
        let ast = self.compile(path, &file).and_then(|ast| self.function(&file, ast, question));
        let ends = ast.as_ref().map_or_else(Vec::new, |ast| made::ends(ast, question.function(), api::builds_answers));
        Script { file, ast, ends }
    }

    fn compile(&mut self, path: &Path, file: &str) -> Option<AST> {
        let text = read(path).map_err(|message| self.errors.push(ScriptError::of_file(file, message))).ok()?;
        self.sources.insert(file, text.clone());
        let compiled = self.engine.compile_with_scope(&notes::scope(), &text);
        let mut ast =
            compiled.map_err(|error| self.errors.push(diagnose::of_parse(&error, file, self.sources))).ok()?;
        ast.set_source(file);
        self.sources.set_code_lines(file, trace::code_lines(&ast));
        let before = self.errors.len();
        self.errors.extend(self.sources.problems(file));
        let (engine, sources, errors) = (&mut *self.engine, &mut *self.sources, &mut *self.errors);
        Loader { engine, sources, config: self.config, modules: self.modules, errors }
            .imports_of(file, Trail::start(file));
        if self.errors.len() > before {
            return None;
        }
        // The top level runs with every question; once now, so that a missing table is found before a machine asks.
        let time = self.config.limits.boot_images;
        let budget = Budget {
            operations: self.config.limits.operations,
            time,
            memory: Some(self.config.limits.memory),
            place: Place::Load,
        };
        let ran = sandbox::run(budget, || catch_unwind(AssertUnwindSafe(|| self.engine.run_ast(&ast)))).value;
        match ran {
            Ok(Ok(())) => Some(ast),
            Ok(Err(error)) => {
                self.errors.push(diagnose::of_run(&error, file, self.sources));
                None
            }
            Err(panic) => {
                self.errors.push(ScriptError::of_file(file, panicked(panic.as_ref())));
                None
            }
        }
    }

    /// Checks the function that answers; a script without it passes, but not one with a slip of the pen.
    fn function(&mut self, file: &str, ast: AST, question: Question) -> Option<AST> {
        let name = question.function();
        let functions: Vec<(String, usize)> =
            ast.iter_functions().map(|f| (f.name.to_owned(), f.params.len())).collect();
        if functions.iter().any(|(other, params)| other == name && *params == 1) {
            return Some(ast);
        }
        if functions.is_empty() {
            let mut error = ScriptError::of_file(file, "there is no function in it, so it would never answer");
            error.hint = Some(
                "write fn allow_boot(request) { ... } or fn boot_images(request) { ... }; pass() leaves it to others"
                    .to_owned(),
            );
            self.errors.push(error);
        }
        let near = |other: &str| other == name || strsim::damerau_levenshtein(other, name) <= 2;
        if let Some((other, _)) = functions.iter().find(|(other, _)| near(other)) {
            let message = format!("this is not `fn {name}(request)`");
            let place = self.sources.function(file, other).unwrap_or((1, 1));
            let hint = Some(format!("write the first line as: fn {name}(request) {{"));
            self.errors.push(at_place(file, place, message, hint, self.sources));
        }
        None
    }
}

/// What a function of ours that panicked is told as.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a function of pointsman failed: {}; this is a defect, please report it", cut(text.unwrap_or("unknown")))
}
