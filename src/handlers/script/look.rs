//! How a menu looks, the key before it, and what must be signed, as scripts say it.

use rhai::{EvalAltResult, ImmutableString, Map};

use super::contract;
use super::options::Options;
use super::sandbox::fail;
use crate::boot::{Color, Colors, Look, Prompt, ScreenSize, UnlessAble, Verify};
use crate::nearest::cut;

type Read<T> = Result<T, Box<EvalAltResult>>;

/// How long a prompt waits that does not say, in seconds.
const PROMPT_S: i64 = 10;

/// `prompt`: a text, or a map.
pub(super) fn prompt(options: &mut Options) -> Read<Option<Prompt>> {
    let Some(value) = options.take("prompt") else { return Ok(None) };
    let map = match value.is_string() {
        true => Map::from([("text".into(), value)]),
        false => map(options, "prompt", value, "prompt: #{ text: \"Press I to install\", key: \"i\", timeout: 10 }")?,
    };
    let mut said = Options::new("prompt", map, contract::PROMPT)?;
    let text = said.line("text")?.filter(|text| !text.is_empty());
    let key = match said.text("key")? {
        None => None,
        Some(key) => match (key.chars().next(), key.chars().nth(1)) {
            (Some(key), None) => Some(key),
            _ => return said.fail(&format!("`key` is \"{}\"; a key is one letter or digit", cut(&key))),
        },
    };
    let seconds = said.number("timeout")?.unwrap_or(PROMPT_S);
    Prompt::new(text, key, seconds).map(Some).or_else(|error| fail(format!("prompt: {error}")))
}

/// `look` of a menu.
pub(super) fn look(options: &mut Options) -> Read<Option<Box<Look>>> {
    let Some(value) = options.take("look") else { return Ok(None) };
    let map = map(options, "look", value, "look: #{ picture: \"menu/back.png\", colors: #{ text: \"#ffffff\" } }")?;
    let mut said = Options::new("look", map, contract::LOOK)?;
    let picture = said.source("picture")?;
    let size = match said.array("size")? {
        None => None,
        Some(numbers) => {
            let pixels = |number: &rhai::Dynamic| u16::try_from(number.as_int().ok()?).ok();
            match numbers.iter().map(pixels).collect::<Option<Vec<_>>>().as_deref() {
                Some([width, height]) => Some(
                    ScreenSize::try_from([*width, *height]).or_else(|error| fail(format!("look: `size`: {error}")))?,
                ),
                _ => return said.fail("`size` must be width and height in pixels: [1024, 768]"),
            }
        }
    };
    let colors = match said.take("colors") {
        None => Colors::default(),
        Some(value) => colors(self::map(&said, "colors", value, "colors: #{ text: \"#ffffff\" }")?)?,
    };
    Ok(Some(Box::new(Look { picture, size, colors })))
}

fn colors(map: Map) -> Read<Colors> {
    let mut said = Options::new("colors", map, contract::COLORS)?;
    let mut color = |name: &str| said.parsed::<Color>(name);
    Ok(Colors {
        text: color("text")?,
        background: color("background")?,
        selected_text: color("selected_text")?,
        selected_background: color("selected_background")?,
        heading: color("heading")?,
    })
}

/// `verify` and `signature` of an image with files.
pub(super) fn verify(options: &mut Options) -> Read<Option<Verify>> {
    let ending = options.text("signature")?;
    let unless_able = options.parsed::<UnlessAble>("verify")?;
    if ending.is_none() && unless_able.is_none() {
        return Ok(None);
    }
    let ending = ending.as_ref().map_or(Verify::ENDING, ImmutableString::as_str);
    let verify = Verify::new(ending, unless_able.unwrap_or_default());
    verify.map(Some).or_else(|error| options.fail(&format!("`signature`: {error}")))
}

fn map(options: &Options, key: &str, value: rhai::Dynamic, example: &str) -> Read<Map> {
    match value.is_map() {
        true => Ok(value.cast::<Map>()),
        false => options.fail(&format!("`{key}` must be a map, as in {example}")),
    }
}
