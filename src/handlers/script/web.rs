//! `http_get` and `http_post`: what a script asks the web services of the site.
//!
//! **Invariant**: a script names a service of the configuration; the parts of a path and the values of a query are
//! encoded where the question is sent. A service is waited for in the background only, and where scripts are only tried
//! nothing is posted.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};
use serde_json::{Value as Json, json};
use tokio::runtime::Handle;

use super::api::plain_type;
use super::document::{Format, Node};
use super::lexer::{Kind, Token};
use super::options::Options;
use super::reach::Reach;
use super::sandbox::{self, fail};
use super::{outside, parts};
use crate::boot::Line;
use crate::nearest::cut;
use crate::upstream::{WebQuestion, WebService};

/// An answer in a script.
#[derive(Clone)]
struct WebAnswer(Arc<Answered>);

struct Answered {
    source: String,
    status: i64,
    body: ImmutableString,
    json: OnceLock<Result<Node, String>>,
}

type Found<T> = Result<T, Box<EvalAltResult>>;

/// Registers the functions, and the type of answers.
pub(super) fn register(engine: &mut Engine, reach: &Reach) {
    engine
        .register_type_with_name::<WebAnswer>("WebAnswer")
        .register_get("status", |answer: &mut WebAnswer| answer.0.status)
        .register_get("ok", |answer: &mut WebAnswer| (200..300).contains(&answer.0.status))
        .register_get("body", |answer: &mut WebAnswer| answer.0.body.clone())
        .register_get("json", |answer: &mut WebAnswer| answer.json());
    let to = reach.clone();
    engine.register_fn("http_get", move |name: ImmutableString, path: Dynamic| get(&to, &name, &path, Map::new()));
    let to = reach.clone();
    engine.register_fn("http_get", move |name: ImmutableString, path: Dynamic, options: Map| {
        get(&to, &name, &path, options)
    });
    let to = reach.clone();
    engine.register_fn("http_post", move |name: ImmutableString, path: Dynamic, body: Dynamic| {
        post(&to, &name, &path, &body, Map::new())
    });
    let to = reach.clone();
    engine.register_fn("http_post", move |name: ImmutableString, path: Dynamic, body: Dynamic, options: Map| {
        post(&to, &name, &path, &body, options)
    });
}

impl WebAnswer {
    fn json(&self) -> Found<Dynamic> {
        let answered = &*self.0;
        let read = answered
            .json
            .get_or_init(|| Format::Json.parse(&answered.body, ELEMENTS_MAX).map_err(|broken| broken.to_string()));
        match read {
            Ok(node) => Ok(parts::dynamic(node)),
            Err(why) => fail(format!("{}: the answer (status {}) is no JSON: {why}", answered.source, answered.status)),
        }
    }
}

fn get(reach: &Reach, name: &str, path: &Dynamic, options: Map) -> Found<WebAnswer> {
    let question = WebQuestion { path: path_of("http_get", path)?, query: query_of("http_get", options)?, body: None };
    ask(reach, name, &question, &Json::Null)
}

fn post(reach: &Reach, name: &str, path: &Dynamic, body: &Dynamic, options: Map) -> Found<WebAnswer> {
    let (octets, kind, shown) = if let Some(text) = body.read_lock::<ImmutableString>() {
        (text.as_bytes().to_vec(), "text/plain; charset=utf-8", Json::from(text.as_str()))
    } else {
        let Ok(json) = rhai::serde::from_dynamic::<Json>(body) else {
            let kind = plain_type(body.type_name()).to_owned();
            return fail(format!("http_post sends text, or a map or an array as JSON, not {kind}"));
        };
        (json.to_string().into_bytes(), "application/json", json)
    };
    let (path, query) = (path_of("http_post", path)?, query_of("http_post", options)?);
    ask(reach, name, &WebQuestion { path, query, body: Some((octets, kind)) }, &shown)
}

/// The parts of a path: a text is divided at its slashes, and each element of an array is one part.
fn path_of(function: &str, path: &Dynamic) -> Found<Vec<String>> {
    let Some(items) = path.read_lock::<Array>() else {
        let Ok(text) = path.clone().into_immutable_string() else {
            return fail(format!("{function}: the path is text, or an array of its parts"));
        };
        let text = text.strip_prefix('/').unwrap_or(&text);
        return Ok(text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect());
    };
    let part = |item: &Dynamic| match plain(item).filter(|part| !part.is_empty()) {
        Some(part) => Ok(part),
        None => fail(format!("{function}: each part of the path is text or a number, and not empty")),
    };
    items.iter().map(part).collect()
}

fn query_of(function: &'static str, options: Map) -> Found<Vec<(String, String)>> {
    let mut options = Options::new(function, options, super::contract::HTTP)?;
    let Some(query) = options.take("query") else { return Ok(Vec::new()) };
    let Some(query) = query.try_cast::<Map>() else {
        return fail(format!("{function}: `query` must be a map: #{{ mac: request.mac }}"));
    };
    let pair = |(name, value): (rhai::Identifier, Dynamic)| match plain(&value) {
        Some(value) => Ok((name.to_string(), value)),
        None => fail(format!("{function}: `{name}` in `query` must be text, a number, true or false")),
    };
    query.into_iter().map(pair).collect()
}

fn plain(value: &Dynamic) -> Option<String> {
    let is_plain = value.is_string() || value.is_int() || value.is_bool() || value.is_char();
    is_plain.then(|| value.to_string())
}

fn ask(reach: &Reach, name: &str, question: &WebQuestion, body: &Json) -> Found<WebAnswer> {
    let method = if question.body.is_some() { "POST" } else { "GET" };
    let path = Line::clean(cut(&question.path.join("/"))).to_string();
    let source = format!("http {method} {} /{path}", cut(name));
    let mut asked = json!({ "path": question.path, "query": question.query });
    if let (false, Some(asked)) = (body.is_null(), asked.as_object_mut()) {
        asked.insert("body".to_owned(), body.clone());
    }
    let answer = outside::ask(&source, asked, |_| {
        let service = reach.web.find(name).or_else(|why| fail(format!("http: {why}")))?;
        let limit = sandbox::may_wait()?;
        if question.body.is_some() && !reach.keeps {
            return Ok(Err("nothing is posted where scripts are only tried".to_owned()));
        }
        Ok(of_service(service, question, limit))
    })?;
    let status = answer.get("status").and_then(Json::as_i64).unwrap_or(0);
    let body = answer.get("body").and_then(Json::as_str).unwrap_or_default().into();
    Ok(WebAnswer(Arc::new(Answered { source, status, body, json: OnceLock::new() })))
}

fn of_service(service: &WebService, question: &WebQuestion, limit: Duration) -> Result<Json, String> {
    let Ok(runtime) = Handle::try_current() else { return Err("there is no runtime to wait in".to_owned()) };
    let answer = runtime.block_on(service.ask(question, limit))?;
    Ok(json!({ "status": answer.status, "body": &*answer.body }))
}

/// The uses of `http_get` and `http_post` whose path is put together as text: a machine could lead it elsewhere.
pub(super) fn wrong_paths(tokens: &[Token]) -> Vec<(&Token, String)> {
    let mut wrong = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [function, open] = pair else { continue };
        if !(function.is_word("http_get") || function.is_word("http_post")) || !open.is_sign('(') {
            continue;
        }
        let depth = open.depth + 1;
        let inside: Vec<&Token> = tokens.iter().skip(at + 2).take_while(|token| token.depth >= depth).collect();
        let Some(comma) = inside.iter().position(|token| token.is_sign(',') && token.depth == depth) else { continue };
        let rest = inside.get(comma + 1..).unwrap_or_default();
        let end = rest.iter().position(|token| token.is_sign(',') && token.depth == depth).unwrap_or(rest.len());
        let path = rest.get(..end).unwrap_or_default();
        let is_fixed = match path {
            [only] => matches!(only.kind, Kind::Text(_) | Kind::Raw(_) | Kind::Word(_)) && only.depth == depth,
            [first, ..] => {
                first.is_sign('[')
                    || matches!(first.kind, Kind::Word(_))
                        && first.depth == depth
                        && !path.iter().any(|token| token.is_sign('+'))
            }
            [] => false,
        };
        if !is_fixed {
            let what = "the path is put together as text: what a machine says of itself could lead it elsewhere";
            wrong.push((function, what.to_owned()));
        }
    }
    wrong
}

/// The most values of an answer that is read as JSON.
const ELEMENTS_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    #[test]
    fn paths_that_are_put_together_are_told() {
        let check = |source: &str, expect: bool| {
            let all = tokens(source);
            assert_eq!(!wrong_paths(&all).is_empty(), expect, "{source}");
        };
        check("http_get(\"nac\", \"/mab\")", false);
        check("http_get(\"nac\", `/mab`)", false);
        check("http_get(\"nac\", [\"mab\", request.mac])", false);
        check("http_get(\"nac\", path, #{ query: #{ a: \"x\" + y } })", false);
        check("http_get(\"nac\", path_of(request))", false);
        check("http_post(\"nac\", \"/mab\", #{ mac: request.mac + \"x\" })", false);
        check("http_get(\"nac\", \"/mab/\" + request.mac)", true);
        check("http_get(\"nac\", base + request.mac)", true);
        check("http_get(\"nac\", `/mab/${request.mac}`)", true);
        check("http_post(\"nac\", \"/mab/\" + request.hostname, #{})", true);
    }
}
