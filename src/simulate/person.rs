//! The person at the simulated machine: presses keys, and fills in forms.
//!
//! **Invariant**: what is typed as a secret is in no report.

use std::collections::BTreeMap;
use std::fmt;

use super::ipxe::Ipxe;
use super::{Machine, StepError};

/// What a person types who is asked; nothing, and the person turns away.
#[derive(Clone, Default)]
pub struct Typed {
    /// The user name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The PIN.
    pub pin: Option<String>,
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").field("user", &self.user).finish_non_exhaustive()
    }
}

/// An item of a menu.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) title: String,
    key: Option<char>,
}

/// A form.
pub(super) struct Form {
    title: String,
    /// Where each field is stored, and what it is called.
    fields: Vec<(String, String)>,
}

impl Form {
    pub(super) fn new(title: String) -> Form {
        Form { title, fields: Vec::new() }
    }
}

/// The item that the person presses the key of.
pub(super) fn by_key<'a>(machine: &Machine, menu: &'a [Item]) -> Option<&'a Item> {
    menu.iter().find(|item| item.key.is_some_and(|key| machine.keys.contains(&key)))
}

/// Whether the person presses this key where a prompt waits for it.
pub(super) fn presses(machine: &Machine, key: Option<&String>) -> bool {
    key.is_some_and(|key| machine.keys.iter().any(|pressed| *key == pressed.to_string()))
}

impl Ipxe<'_> {
    /// An item of the menu, or a field of the form, whichever was begun last.
    pub(super) fn item(&mut self, options: &BTreeMap<String, String>, operands: &[String]) {
        if options.contains_key("gap") || options.contains_key("g") {
            return self.report.screen(&format!("  {}", operands.join(" ")));
        }
        let id = operands.first().cloned().unwrap_or_default();
        let title = operands.get(1..).unwrap_or_default().join(" ");
        if let Some(form) = &mut self.form {
            form.fields.push((id, title));
            return;
        }
        match title.is_empty() {
            true => self.report.screen(""),
            false => self.report.screen(&format!("  [{id}] {title}")),
        }
        let key = options.get("key").or_else(|| options.get("k")).and_then(|key| key.chars().next());
        self.menu.push(Item { id, title, key });
    }

    /// `present`: the form is filled in.
    pub(super) fn present(&mut self) -> Result<(), StepError> {
        let Some(Form { title, fields }) = self.form.take() else { return Err(StepError::new("there is no form")) };
        let names: Vec<_> = fields.iter().map(|(_, title)| title.as_str()).collect();
        self.report.screen(&format!("form: {title} ({})", names.join(", ")));
        let is_pin = !fields.iter().any(|(stored, _)| stored == "username");
        self.answer(is_pin)
    }

    /// `login`: a user name and a password, the same for both kinds of questions.
    pub(super) fn login(&mut self) -> Result<(), StepError> {
        self.report.screen("login: Username, Password");
        self.answer(self.machine.typed.password.is_none())
    }

    fn answer(&mut self, is_pin: bool) -> Result<(), StepError> {
        let typed = &self.machine.typed;
        let (user, secret) = if is_pin { (None, &typed.pin) } else { (typed.user.as_ref(), &typed.password) };
        let Some(secret) = secret else {
            return Err(StepError::new("nobody answers; give what to type"));
        };
        self.settings.insert("username".into(), user.cloned().unwrap_or_default());
        self.settings.insert("password".into(), secret.clone());
        let who = user.map(|user| format!(" as {user}")).unwrap_or_default();
        self.report.note(&format!("a person answers{who}"));
        Ok(())
    }
}
