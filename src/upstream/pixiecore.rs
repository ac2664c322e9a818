//! Pixiecore's API as an upstream: one request by MAC address, whose answer is what to boot.
//!
//! Its `kernel`, `initrd`, `cmdline` and `message` are read; relative URLs start at the API's own. A machine that it has
//! nothing for (HTTP 404) is none of its business: the next handler is asked.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::Client;
use super::{Upstream, UpstreamError};
use crate::api::{ImagesAnswer, VerdictAnswer};
use crate::boot::{BootImage, BootImages, BootRequest, ImageKind, Line, SessionId, Source, Verdict};

/// Answers by boot: the first of our two questions fetches what the second one needs.
pub(super) struct Remembered(Cache<SessionId, Arc<BootImages>>);

impl Default for Remembered {
    fn default() -> Self {
        Remembered(Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(300)).build())
    }
}

/// The id of the image that such an answer is.
const IMAGE: &str = "pixiecore";
/// The most initial RAM disks of an image.
const INITRDS_MAX: usize = 32;

#[derive(Deserialize)]
struct Document {
    kernel: String,
    #[serde(default)]
    initrd: Vec<String>,
    #[serde(default)]
    cmdline: Value,
    #[serde(default)]
    message: Option<String>,
}

impl Upstream {
    pub(super) async fn pixiecore_verdict(
        &self,
        client: &Client,
        request: &BootRequest,
        limit: Duration,
    ) -> Result<VerdictAnswer, UpstreamError> {
        let images = fetch(client, request, limit).await?;
        let answer = images.is_some().then_some(Verdict::allow());
        if let Some(images) = images {
            self.inner.remembered.0.insert(request.session, Arc::new(images));
        }
        Ok(VerdictAnswer { answer, handler: Line::clean(IMAGE) })
    }

    pub(super) async fn pixiecore_images(
        &self,
        client: &Client,
        request: &BootRequest,
        limit: Duration,
    ) -> Result<ImagesAnswer, UpstreamError> {
        // Once only: who asks again wants to know what it says now.
        let images = match self.inner.remembered.0.remove(&request.session) {
            Some(images) => Some((*images).clone()),
            None => fetch(client, request, limit).await?,
        };
        Ok(ImagesAnswer { answer: images.is_some().then_some(Verdict::allow()), images, handler: Line::clean(IMAGE) })
    }
}

async fn fetch(client: &Client, request: &BootRequest, limit: Duration) -> Result<Option<BootImages>, UpstreamError> {
    let mac = request.client.hardware.to_string();
    let found: Option<Document> = client.get(client.url(["v1", "boot", &mac]), limit).await?;
    let base = client.url(["v1"]);
    found.map(|document| images(document, &base)).transpose().map_err(|what| client.nonsense(&what))
}

/// Reads an answer of the API at this URL.
///
/// # Errors
/// When it is no such answer, or says what no machine could boot, in words.
pub fn read_pixiecore(octets: &[u8], base: &str) -> Result<BootImages, String> {
    let base = reqwest::Url::parse(base).map_err(|error| format!("{base}: {error}"))?;
    images(serde_json::from_slice(octets).map_err(|error| error.to_string())?, &base)
}

fn images(document: Document, base: &reqwest::Url) -> Result<BootImages, String> {
    if document.initrd.len() > INITRDS_MAX {
        return Err(format!("`initrd` has {} entries; at most {INITRDS_MAX} are read", document.initrd.len()));
    }
    let source = |field: &str, text: &str| -> Result<Source, String> {
        absolute(base, text)
            .and_then(|url| url.parse().map_err(|error| format!("{error}")))
            .map(Source::Url)
            .map_err(|error| format!("`{field}`: {error}"))
    };
    let initrd = document.initrd.iter().map(|text| source("initrd", text)).collect::<Result<_, _>>()?;
    let cmdline = match &document.cmdline {
        Value::Null => String::new(),
        Value::String(text) => with_urls(base, text)?,
        Value::Object(map) => words(base, map)?,
        _ => return Err("`cmdline` is neither text nor a map".into()),
    };
    let cmdline = Line::new(cmdline).map_err(|error| format!("`cmdline`: {error}"))?;
    let title = Line::clean(document.message.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or("Linux"));
    let kind = ImageKind::Linux { kernel: source("kernel", &document.kernel)?, initrd, cmdline };
    let image = BootImage { id: IMAGE.into(), title, assignment: None, verify: None, choice: Default::default(), kind };
    BootImages::new(vec![image], None).map_err(|error| error.to_string())
}

fn absolute(base: &reqwest::Url, text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty".into());
    }
    base.join(text).map(String::from).map_err(|error| error.to_string())
}

/// A command line as a map: sorted by name, so that one answer is always the same line.
fn words(base: &reqwest::Url, map: &Map<String, Value>) -> Result<String, String> {
    let mut named: Vec<_> = map.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    let mut words = Vec::new();
    for (name, value) in named {
        match value {
            Value::Bool(false) | Value::Null => {}
            Value::Bool(true) => words.push(name.clone()),
            Value::String(text) if text.is_empty() => words.push(name.clone()),
            Value::String(text) => words.push(format!("{name}={text}")),
            Value::Number(number) => words.push(format!("{name}={number}")),
            Value::Object(object) => match object.get("url").and_then(Value::as_str) {
                Some(url) => words.push(format!("{name}={}", absolute(base, url)?)),
                None => return Err(format!("`cmdline`: `{}` is a map without `url`", crate::nearest::cut(name))),
            },
            Value::Array(_) => return Err(format!("`cmdline`: `{}` is a list", crate::nearest::cut(name))),
        }
    }
    Ok(words.join(" "))
}

/// The begin of the one call that a command line may have: `{{ URL "path" }}`.
const CALL: &str = "{{";

/// A command line as text, with the URLs that it asks for.
fn with_urls(base: &reqwest::Url, text: &str) -> Result<String, String> {
    let (mut line, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(CALL) {
        let (call, behind) = after.split_once("}}").ok_or("`cmdline`: `{{` without `}}`")?;
        let argument = call.trim().strip_prefix("URL").map(str::trim);
        let path = argument.and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
        let path = path.ok_or_else(|| {
            format!("`cmdline`: `{}` is not known; use {{{{ URL \"...\" }}}}", crate::nearest::cut(call.trim()))
        })?;
        line.push_str(before);
        line.push_str(&absolute(base, path)?);
        rest = behind;
    }
    Ok(line + rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<BootImages, String> {
        read_pixiecore(json.as_bytes(), "https://api.example.com/x/v1")
    }

    fn linux(json: &str) -> (String, Vec<String>, String) {
        match &read(json).unwrap().images()[0].kind {
            ImageKind::Linux { kernel, initrd, cmdline } => {
                (kernel.to_string(), initrd.iter().map(ToString::to_string).collect(), cmdline.to_string())
            }
            kind => panic!("{kind:?}"),
        }
    }

    #[test]
    fn an_answer_is_one_image_with_absolute_urls() {
        let (kernel, initrd, cmdline) = linux(
            r#"{"kernel": "kernel/9", "initrd": ["/initrd", "http://h/i"],
                "cmdline": {"b": "1", "a": true, "off": false, "u": {"url": "ks.cfg"}, "n": 3, "e": ""}}"#,
        );
        assert_eq!(kernel, "https://api.example.com/x/kernel/9");
        assert_eq!(initrd, ["https://api.example.com/initrd", "http://h/i"]);
        assert_eq!(cmdline, "a b=1 e n=3 u=https://api.example.com/x/ks.cfg");
        let (_, _, cmdline) = linux(r#"{"kernel": "k", "cmdline": "ks={{ URL \"a\" }} quiet"}"#);
        assert_eq!(cmdline, "ks=https://api.example.com/x/a quiet");
        let images = read(r#"{"kernel": "k", "message": "Hello\n${x}"}"#).unwrap();
        assert_eq!(images.images()[0].title.as_str(), "Hello $ {x}");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (json, expect) in [
            ("{}", "missing field `kernel`"),
            (r#"{"kernel": ""}"#, "`kernel`: it is empty"),
            (r#"{"kernel": "javascript:x"}"#, "is no URL that a client can load"),
            (r#"{"kernel": "http://h/${x}"}"#, ""),
            (r#"{"kernel": "k", "cmdline": [1]}"#, "`cmdline` is neither"),
            (r#"{"kernel": "k", "cmdline": "a ${b}"}"#, "iPXE would expand"),
            (r#"{"kernel": "k", "cmdline": "{{ ID \"x\" }}"}"#, "use {{ URL"),
            (r#"{"kernel": "k", "cmdline": "{{ URL"}"#, "without"),
        ] {
            match read(json) {
                Err(error) => assert!(error.contains(expect), "{error}"),
                // The URL's own rules encode it.
                Ok(images) => assert!(expect.is_empty() && !format!("{images:?}").contains("${"), "{images:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_command_line_is_one_or_an_error(text in "(\\{\\{|\\}\\}| URL |\"|[a-z$\\{]|\\PC){0,20}") {
            let json = serde_json::json!({ "kernel": "k", "cmdline": text }).to_string();
            let _ = read(&json);
        }
    }
}
