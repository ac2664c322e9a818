//! Imports, confined to the scripts folder.
//!
//! All modules are found and compiled when the scripts are loaded, so no question touches a file. Rhai's own resolver
//! is not used because it opens any path that a script names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rhai::module_resolvers::StaticModuleResolver;
use rhai::{Engine, Module, Scope};

use super::ScriptConfig;
use super::diagnose::{self, ScriptError, at_place};
use super::limits::SCRIPT_LEN_MAX;
use super::sandbox::{self, Budget, Place};
use super::sources::Sources;
use super::trace;
use crate::nearest::nearest;

/// The modules that are loaded already.
#[derive(Default)]
pub(super) struct Modules {
    resolver: StaticModuleResolver,
    /// By import name: whether the file is without problems.
    done: BTreeMap<String, bool>,
}

impl Modules {
    /// What finds the modules by name.
    pub(super) fn into_resolver(self) -> StaticModuleResolver {
        self.resolver
    }
}

/// Compiles the modules that scripts import, and those that these import.
pub(super) struct Loader<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) sources: &'a mut Sources,
    pub(super) config: &'a ScriptConfig,
    pub(super) modules: &'a mut Modules,
    pub(super) errors: &'a mut Vec<ScriptError>,
}

impl Loader<'_> {
    /// Loads what `file` imports. `trail` is how the file itself came to be imported.
    pub(super) fn imports_of(&mut self, file: &str, trail: Rc<Trail>) {
        for (name, place) in self.sources.imports(file) {
            if let Err((message, hint)) = self.import(&name, &trail) {
                let error = at_place(file, place, message, hint, self.sources);
                self.errors.push(error);
            }
        }
    }

    fn import(&mut self, name: &str, trail: &Rc<Trail>) -> Result<(), (String, Option<String>)> {
        if trail.contains(name) {
            return Err((
                format!("the imports go in a circle: {} -> {name}", trail.show()),
                Some("move what both files need into a third one".to_owned()),
            ));
        }
        if self.modules.done.contains_key(name) {
            return Ok(());
        }
        if self.modules.done.len() >= FILES_MAX || trail.depth() >= DEPTH_MAX {
            let hint = Some("put more functions into fewer files".to_owned());
            return Err((format!("more than {FILES_MAX} imported files, or {DEPTH_MAX} in a chain"), hint));
        }
        let path = confined(&self.config.scripts_dir, name)?;
        let text = read(&path).map_err(|message| (message, None))?;
        let file = path.display().to_string();
        self.sources.insert(&file, text.clone());
        let mut ast = match self.engine.compile_with_scope(&super::notes::scope(), &text) {
            Ok(ast) => ast,
            Err(error) => {
                self.modules.done.insert(name.to_owned(), false);
                self.errors.push(diagnose::of_parse(&error, &file, self.sources));
                return Ok(());
            }
        };
        ast.set_source(file.as_str());
        self.sources.set_code_lines(&file, trace::code_lines(&ast));
        let problems = self.sources.problems(&file);
        let good = problems.is_empty();
        self.errors.extend(problems);
        self.imports_of(&file, Rc::new(Trail { name: name.to_owned(), before: Some(Rc::clone(trail)) }));
        self.modules.done.insert(name.to_owned(), good);
        if good {
            self.run(name, &file, &ast);
        }
        Ok(())
    }

    fn run(&mut self, name: &str, file: &str, ast: &rhai::AST) {
        if self.modules.done.values().any(|good| !good) {
            return;
        }
        let limits = &self.config.limits;
        let budget = Budget {
            operations: limits.operations,
            time: limits.boot_images,
            memory: Some(limits.memory),
            place: Place::Load,
        };
        match sandbox::run(budget, || Module::eval_ast_as_new(Scope::new(), ast, self.engine)).value {
            Ok(module) => {
                self.modules.resolver.insert(name, module);
                self.engine.set_module_resolver(self.modules.resolver.clone());
            }
            Err(error) => {
                self.modules.done.insert(name.to_owned(), false);
                self.errors.push(diagnose::of_run(&error, file, self.sources));
            }
        }
    }
}

/// How a file came to be imported: the names from the script down to it.
pub(super) struct Trail {
    name: String,
    before: Option<Rc<Trail>>,
}

impl Trail {
    pub(super) fn start(name: &str) -> Rc<Trail> {
        Rc::new(Trail { name: name.to_owned(), before: None })
    }

    fn contains(&self, name: &str) -> bool {
        self.name == name || self.before.as_ref().is_some_and(|before| before.contains(name))
    }

    fn depth(&self) -> usize {
        self.before.as_ref().map_or(0, |before| before.depth() + 1)
    }

    fn show(&self) -> String {
        match &self.before {
            Some(before) => format!("{} -> {}", before.show(), self.name),
            None => self.name.clone(),
        }
    }
}

/// The file of an import name: relative, below the folder even after symbolic links are followed.
fn confined(folder: &Path, name: &str) -> Result<PathBuf, (String, Option<String>)> {
    let example =
        || Some("write the name of a file below the scripts folder: import \"lib/sites\" as sites;".to_owned());
    let parts = name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !parts || name.contains(['\\', '\0', ':']) {
        return Err((format!("`{name}` leaves the scripts folder"), example()));
    }
    let file = folder.join(if name.ends_with(".rhai") { name.to_owned() } else { format!("{name}.rhai") });
    let real = file.canonicalize().map_err(|_| {
        let meant = nearest(name, scripts_below(folder, "", DEPTH_MAX).iter().map(String::as_str)).map(str::to_owned);
        let hint = meant.map(|meant| format!("did you mean \"{meant}\"?")).or_else(example);
        (format!("there is no file {}", file.display()), hint)
    })?;
    let root = folder.canonicalize().map_err(|error| (format!("{}: {error}", folder.display()), None))?;
    if !real.starts_with(&root) {
        return Err((format!("`{name}` leaves the scripts folder by a symbolic link"), example()));
    }
    Ok(file)
}

/// The names by which the scripts below a folder are imported.
fn scripts_below(folder: &Path, before: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX) {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(stem) = name.strip_suffix(".rhai") {
            found.push(format!("{before}{stem}"));
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(scripts_below(&entry.path(), &format!("{before}{name}/"), depth - 1));
        }
    }
    found.sort();
    found
}

/// The text of a script.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let error = |error: std::io::Error| format!("cannot be read: {error}");
    let len = std::fs::metadata(path).map_err(error)?.len();
    if len > SCRIPT_LEN_MAX {
        return Err(format!("has {len} octets; at most {SCRIPT_LEN_MAX} are read"));
    }
    String::from_utf8(std::fs::read(path).map_err(error)?).map_err(|_| "is not UTF-8 text; save it as UTF-8".to_owned())
}

/// The most files that one script imports, directly or not.
const FILES_MAX: usize = 256;
/// The longest chain of imports.
const DEPTH_MAX: usize = 16;
