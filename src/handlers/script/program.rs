//! The compiled scripts of a site, and one run of them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use jiff::tz::TimeZone;
use rhai::module_resolvers::StaticModuleResolver;
use rhai::{Dynamic, Engine, ImmutableString, Scope};

use super::compile::{Compile, Script, panicked};
use super::diagnose::{self, ScriptError, ScriptErrors, at_place};
use super::limits::Limits;
use super::made::{self, Origin};
use super::modules::Modules;
use super::outside::{self, Answers};
use super::question::Question;
use super::request::Request;
use super::sandbox::{self, Budget, Ended, Place};
use super::sources::Sources;
use super::tables::Tables;
use super::trace::{self, Trace};
use super::{ScriptConfig, answer, api, notes, warnings};
use crate::boot::{BootFile, BootRequest, FileName};
use crate::database::NamedQueries;
use crate::decision::Answer;

/// The function that makes files for boot loaders; it stands beside `boot_images`.
const FILE_FUNCTION: &str = "boot_file";

/// Scripts, modules and tables: built once, never changed.
pub(super) struct Program {
    engine: Engine,
    allow_boot: Script,
    boot_images: Script,
    sources: Sources,
    warnings: Vec<ScriptError>,
    revision: String,
    queries: Arc<NamedQueries>,
    zone: TimeZone,
    limits: Limits,
    /// What a second engine is made from, for runs that are traced: the first of them makes it.
    make_engine: Box<dyn Fn() -> Engine + Send + Sync>,
    modules: StaticModuleResolver,
    tracer: OnceLock<Engine>,
}

impl Program {
    /// Reads, compiles and checks everything.
    pub(super) fn load(config: &ScriptConfig, extend: impl FnOnce(&mut Engine)) -> Result<Program, ScriptErrors> {
        let tables = Arc::new(Tables::load(&config.data_dir));
        let make_engine = {
            let (tables, queries, reach) = (Arc::clone(&tables), Arc::clone(&config.queries), config.reach.clone());
            move || api::engine(Arc::clone(&tables), &queries, &reach)
        };
        let mut engine = make_engine();
        extend(&mut engine);
        let mut sources = Sources::new(api::callable(&engine), Arc::clone(&config.queries));
        let mut modules = Modules::default();
        let mut errors = Vec::new();
        let mut load = |path: &Path, question| {
            let mut compile = Compile {
                engine: &mut engine,
                sources: &mut sources,
                config,
                modules: &mut modules,
                errors: &mut errors,
            };
            compile.script(path, question)
        };
        let allow_boot = load(&config.allow_boot, Question::AllowBoot);
        let boot_images = load(&config.boot_images, Question::BootImages);
        for (name, broken) in tables.broken().filter(|(name, _)| sources.mention(name)) {
            errors.push(diagnose::of_table(&config.data_dir.join(name), broken, None));
        }
        for (table, column) in sources.searched() {
            let hint = format!("take one of them away, or ask for all: find_all(\"{column}\", ...)");
            let hidden = tables.hidden(&table, &column);
            let path = config.data_dir.join(table);
            errors.extend(hidden.iter().map(|hidden| diagnose::of_table(&path, hidden, Some(hint.clone()))));
        }
        let calls: Vec<ScriptError> = sources.files().flat_map(|file| sources.unknown_module_calls(file)).collect();
        errors.extend(calls);
        for (table, column) in sources.searched_networks() {
            let path = config.data_dir.join(&table);
            let wrong = tables.wrong_networks(&table, &column);
            errors.extend(wrong.iter().map(|wrong| diagnose::of_table(&path, wrong, None)));
        }
        // One file may hold both functions, and its errors are told once.
        let mut told = Vec::new();
        errors.retain(|error| !told.contains(error) && (told.push(error.clone()), true).1);
        if !errors.is_empty() {
            return Err(ScriptErrors(errors));
        }
        let mut warnings: Vec<ScriptError> = [(&allow_boot, Question::AllowBoot), (&boot_images, Question::BootImages)]
            .into_iter()
            .flat_map(|(script, question)| warnings::of_script(&sources, &script.file, question, &script.ends))
            .collect();
        warnings.extend(sources.files().flat_map(|file| warnings::of_file(&sources, file)));
        warnings.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
        Ok(Program {
            engine,
            warnings,
            allow_boot,
            boot_images,
            revision: sources.revision(),
            sources,
            queries: Arc::clone(&config.queries),
            zone: config.time_zone.clone(),
            limits: config.limits.clone(),
            make_engine: Box::new(make_engine),
            modules: modules.into_resolver(),
            tracer: OnceLock::new(),
        })
    }

    /// Whether a question has a function that may answer it.
    pub(super) fn answers(&self, question: Question) -> bool {
        self.script(question).ast.is_some()
    }

    /// The file of a question's function.
    pub(super) fn file(&self, question: Question) -> &str {
        &self.script(question).file
    }

    /// What is likely wrong, and keeps nobody from asking.
    pub(super) fn warnings(&self) -> &[ScriptError] {
        &self.warnings
    }

    /// All script files.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.sources.files()
    }

    /// Which scripts these are.
    pub(super) fn revision(&self) -> &str {
        &self.revision
    }

    /// The folders of all files.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        self.sources.files().filter_map(|file| Some(Path::new(file).parent()?.to_owned())).collect()
    }

    /// The lines of each file on which something begins that can run.
    pub(super) fn code_lines(&self) -> BTreeMap<String, BTreeSet<usize>> {
        self.sources.code_lines()
    }

    /// A line of a script, from 1.
    pub(super) fn source_line(&self, file: &str, line: usize) -> Option<String> {
        self.sources.line(file, line)
    }

    /// What the scripts may ask databases.
    pub(super) fn queries(&self) -> &NamedQueries {
        &self.queries
    }

    fn script(&self, question: Question) -> &Script {
        match question {
            Question::AllowBoot => &self.allow_boot,
            Question::BootImages => &self.boot_images,
        }
    }

    /// The budget of a run on the caller's thread.
    pub(super) fn inline(&self) -> Budget {
        Budget {
            operations: self.limits.inline_operations,
            time: self.limits.inline_time,
            memory: None,
            place: Place::Inline,
        }
    }

    /// The budget of a run in the background.
    pub(super) fn full(&self, question: Question) -> Budget {
        let time = match question {
            Question::AllowBoot => self.limits.allow_boot,
            Question::BootImages => self.limits.boot_images,
        };
        Budget { operations: self.limits.operations, time, memory: Some(self.limits.memory), place: Place::Background }
    }

    /// Runs a question's function and converts what it returns. Without the function the result is `()`: pass.
    pub(super) fn run<T>(
        &self,
        question: Question,
        request: &BootRequest,
        budget: Budget,
        convert: fn(Dynamic) -> Result<T, String>,
    ) -> Ended<Result<T, ScriptError>> {
        self.run_with(&self.engine, question, request, budget, convert)
    }

    /// The same, and which lines it goes through. It takes half as long again.
    pub(super) fn run_traced<T>(
        &self,
        question: Question,
        request: &BootRequest,
        budget: Budget,
        convert: fn(Dynamic) -> Result<T, String>,
    ) -> (Ended<Result<T, ScriptError>>, Trace) {
        let tracer = self.tracer.get_or_init(|| {
            let mut engine = (self.make_engine)();
            engine.set_module_resolver(self.modules.clone());
            trace::register(&mut engine);
            engine
        });
        trace::traced(|| self.run_with(tracer, question, request, budget, convert))
    }

    /// Whether the script of `boot_images` has `boot_file(request, name)` as well.
    pub(super) fn makes_files(&self) -> bool {
        let functions = self.boot_images.ast.iter().flat_map(|ast| ast.iter_functions());
        functions.into_iter().any(|function| function.name == FILE_FUNCTION && function.params.len() == 2)
    }

    /// Asks for a file, with the full limits.
    pub(super) fn run_file(
        &self,
        request: &BootRequest,
        name: &FileName,
    ) -> Ended<Result<Answer<BootFile>, ScriptError>> {
        let script = &self.boot_images;
        sandbox::run(self.full(Question::BootImages), || {
            let Some(ast) = &script.ast else { return Ok(Answer::Pass) };
            let call = || {
                notes::about(request);
                let arguments = (Request::new(request, &self.zone), ImmutableString::from(name.as_str()));
                self.engine.call_fn::<Dynamic>(&mut Scope::new(), ast, FILE_FUNCTION, arguments)
            };
            match catch_unwind(AssertUnwindSafe(call)) {
                Ok(Ok(value)) => answer::file(value).map_err(|message| ScriptError::of_file(&script.file, message)),
                Ok(Err(error)) => Err(diagnose::of_run(&error, &script.file, &self.sources)),
                Err(panic) => Err(ScriptError::of_file(&script.file, panicked(panic.as_ref()))),
            }
        })
    }

    fn run_with<T>(
        &self,
        engine: &Engine,
        question: Question,
        request: &BootRequest,
        budget: Budget,
        convert: fn(Dynamic) -> Result<T, String>,
    ) -> Ended<Result<T, ScriptError>> {
        let script = self.script(question);
        let mut origin = Origin::OneOf(Vec::new());
        let mut ended = sandbox::run(budget, || {
            let Some(ast) = &script.ast else {
                return convert(Dynamic::UNIT).map_err(|message| ScriptError::of_file(&script.file, message));
            };
            let call = || {
                notes::about(request);
                let argument = Request::new(request, &self.zone);
                engine.call_fn::<Dynamic>(&mut Scope::new(), ast, question.function(), (argument,))
            };
            match catch_unwind(AssertUnwindSafe(call)) {
                Ok(Ok(value)) => {
                    origin = made::origin(&value, &script.ends);
                    convert(value).map_err(|message| self.at_origin(question, &origin, message))
                }
                Ok(Err(error)) => {
                    let error = diagnose::of_run(&error, &script.file, &self.sources);
                    // Limits end a run without a place.
                    let placed = error.place.is_some();
                    Err(if placed {
                        error
                    } else {
                        ScriptError { hint: error.hint, ..self.at_function(question, error.message) }
                    })
                }
                Err(panic) => Err(self.at_function(question, panicked(panic.as_ref()))),
            }
        });
        ended.origin = origin;
        ended
    }

    /// Where the answer of a run was made, as `FILE:LINE`. Where a value of the language may have come from several lines,
    /// the run is done again with what it was told, to see which: not when that takes long.
    pub(super) fn line<T>(
        &self,
        question: Question,
        request: &BootRequest,
        ended: &Ended<Result<T, ScriptError>>,
    ) -> String {
        let file = self.file(question);
        let at = |line: usize| format!("{file}:{line}");
        match (&ended.value, &ended.origin) {
            (Err(error), _) => error.place.map_or_else(String::new, |(line, _)| format!("{}:{line}", error.file)),
            (Ok(_), Origin::Known(place)) => place.show(),
            (Ok(_), Origin::OneOf(lines)) => match lines.as_slice() {
                [] => String::new(),
                [line] => at(*line),
                lines => {
                    let answers = Arc::new(Answers::of(&ended.readings));
                    let again = || self.run_traced(question, request, self.inline(), |_| Ok(()));
                    let ((_, trace), _) = outside::with_answers(&answers, again);
                    let ran = trace.path.iter().rev().find(|(other, line)| other == file && lines.contains(line));
                    ran.map_or_else(String::new, |(_, line)| at(*line))
                }
            },
        }
    }

    /// What the script saw of the fields in the line of an error.
    pub(super) fn seen(&self, error: &ScriptError, request: &BootRequest) -> Vec<String> {
        let Some((line, _)) = error.place else { return Vec::new() };
        let request = Request::new(request, &self.zone);
        let fields = self.sources.request_fields(&error.file, line);
        fields.iter().filter_map(|field| Some(format!("request.{field} is {}", request.shown(field)?))).collect()
    }

    /// A problem of what a function returned: where that was made, if it is known.
    fn at_origin(&self, question: Question, origin: &Origin, message: String) -> ScriptError {
        let (file, line) = match origin {
            Origin::Known(place) => place.parts(),
            Origin::OneOf(lines) => match lines.as_slice() {
                [line] => (self.file(question), *line),
                _ => return self.at_function(question, message),
            },
        };
        let text = self.sources.line(file, line).unwrap_or_default();
        let indent = text.chars().take_while(|c| c.is_whitespace()).count();
        at_place(file, (line, indent + 1), message, None, &self.sources)
    }

    fn at_function(&self, question: Question, message: String) -> ScriptError {
        let file = self.file(question);
        match self.sources.function(file, question.function()) {
            Some(place) => at_place(file, place, message, None, &self.sources),
            None => ScriptError::of_file(file, message),
        }
    }
}
