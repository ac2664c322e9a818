//! What `allow(#{ ... })` and `pxe_menu(#{ ... })` say beside *yes*.
//!
//! **Invariant**: what firmware would stop on is an error of the script, with the line, before any client meets it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use rhai::{Dynamic, Engine, EvalAltResult, Map};

use super::contract;
use super::options::Options;
use super::sandbox::fail;
use crate::boot::{BootMenu, FileName, Line, Manner, MenuBoots, MenuEntry, Offer};

type Read<T> = Result<T, Box<EvalAltResult>>;

/// A menu for firmware, in a script.
#[derive(Clone, Debug)]
struct PxeMenu(BootMenu);

/// Registers the menu.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<PxeMenu>("PxeMenu");
    engine.register_fn("pxe_menu", |options: Map| pxe_menu(options).map(PxeMenu));
}

/// What the options of `allow` say.
pub(super) fn offer(options: Map) -> Read<Offer> {
    let mut options = Options::new("allow", options, contract::ALLOW)?;
    let menu = match options.take("menu") {
        None => None,
        Some(value) => match value.try_cast::<PxeMenu>() {
            Some(PxeMenu(menu)) => Some(Box::new(menu)),
            None => return options.fail("`menu` must be a menu of pxe_menu(#{ ... })"),
        },
    };
    let manner = Manner {
        style: word(&mut options, "style")?,
        delay_ms: number(&mut options, "delay", 0..=Manner::DELAY_MAX_MS)?,
        secs_min: number(&mut options, "secs_min", 0..=Manner::SECS_MAX)?,
        loader: file_name(&mut options, "loader")?,
        local_boot: word(&mut options, "local_boot")?,
        blksize_max: number(&mut options, "blksize_max", Manner::BLKSIZE)?,
        file_option: options.truth("file_option")?,
        file_size: options.truth("file_size")?,
        ipxe_option: word(&mut options, "ipxe_option")?,
    };
    Ok(Offer { manner, menu })
}

fn pxe_menu(options: Map) -> Read<BootMenu> {
    let mut options = Options::new("pxe_menu", options, contract::PXE_MENU)?;
    let prompt = line(&mut options, "prompt")?.unwrap_or_else(|| Line::clean("Press F8 for the boot menu"));
    let local = line(&mut options, "local")?.unwrap_or_else(|| Line::clean("Local disk"));
    let timeout_s = number(&mut options, "timeout", 0..=255)?;
    let timeout_s = timeout_s.and_then(|seconds| u8::try_from(seconds).ok()).unwrap_or(BootMenu::TIMEOUT_S);
    let entries = options.array("entries")?;
    let entries =
        options.required("entries", entries, "pxe_menu(#{ entries: [#{ title: \"...\", image: \"...\" }] })")?;
    let entries =
        entries.into_iter().enumerate().map(|(index, value)| entry(index, value)).collect::<Read<Vec<_>>>()?;
    BootMenu::new(prompt, timeout_s, local, entries).or_else(|error| options.fail(&error.to_string()))
}

fn entry(index: usize, value: Dynamic) -> Read<MenuEntry> {
    let Some(map) = value.try_cast::<Map>() else {
        return fail(format!("pxe_menu: entry {} must be a map: #{{ title: \"...\", image: \"...\" }}", index + 1));
    };
    let mut options = Options::new("pxe_menu", map, contract::PXE_ENTRY)?;
    let Some(title) = line(&mut options, "title")? else {
        return options.fail(&format!("entry {} needs a `title`", index + 1));
    };
    let (image, loader) = (options.text("image")?, file_name(&mut options, "loader")?);
    let boots = match (image, loader) {
        (Some(image), None) => MenuBoots::Image(image.to_string()),
        (None, Some(loader)) => MenuBoots::Loader(loader),
        _ => return options.fail(&format!("`{title}` needs either an `image` or a `loader`")),
    };
    Ok(MenuEntry { title, boots })
}

fn number(options: &mut Options, key: &str, range: RangeInclusive<u16>) -> Read<Option<u16>> {
    let Some(number) = options.number(key)? else { return Ok(None) };
    match u16::try_from(number).ok().filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => options.fail(&format!("`{key}` is {number}; use {} to {}", range.start(), range.end())),
    }
}

fn word<T: FromStr<Err: Display>>(options: &mut Options, key: &str) -> Read<Option<T>> {
    let Some(text) = options.text(key)? else { return Ok(None) };
    text.parse().map(Some).or_else(|error| options.fail(&format!("`{key}`: {error}")))
}

fn line(options: &mut Options, key: &str) -> Read<Option<Line>> {
    let Some(text) = options.text(key)? else { return Ok(None) };
    Line::new(text.as_str()).map(Some).or_else(|error| options.fail(&format!("`{key}`: {error}")))
}

fn file_name(options: &mut Options, key: &str) -> Read<Option<FileName>> {
    let Some(text) = options.text(key)? else { return Ok(None) };
    FileName::parse(text.as_bytes()).map(Some).or_else(|error| options.fail(&format!("`{key}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::tests::allow;
    use crate::boot::{MenuBoots, Style, Verdict};
    use crate::decision::Answer;

    fn offered(body: &str) -> Result<crate::boot::Offer, String> {
        match allow(body)? {
            Answer::Given(Verdict::Allow(offer)) => Ok(offer),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn allow_says_what_differs() {
        let offer =
            offered("allow(#{ loader: \"undionly.kkpxe\", style: \"pxe10\", delay: 250, file_size: true })").unwrap();
        assert_eq!(offer.manner.loader.unwrap().as_str(), "undionly.kkpxe");
        assert_eq!((offer.manner.style, offer.manner.delay_ms), (Some(Style::Pxe10), Some(250)));
        assert_eq!((offer.manner.file_size, offer.menu), (Some(true), None));
        assert_eq!(offered("allow(#{})"), Ok(crate::boot::Offer::default()));
    }

    #[test]
    fn a_menu_for_firmware() {
        let menu = "pxe_menu(#{ timeout: 10, entries: [#{ title: \"Debian\", image: \"debian\" }, #{ title: \"Memtest\", loader: \"memtest.0\" }] })";
        let menu = offered(&format!("allow(#{{ menu: {menu} }})")).unwrap().menu.unwrap();
        assert_eq!((menu.timeout_s(), menu.entries().len()), (10, 2));
        assert_eq!(menu.entries()[0].boots, MenuBoots::Image("debian".into()));
    }

    #[test]
    fn mistakes_are_told() {
        for (body, says) in [
            ("allow(#{ style: \"pxe\" })", "allow: `style`: `pxe` is unknown; use binl or pxe10"),
            ("allow(#{ delay: 20000 })", "`delay` is 20000; use 0 to 10000"),
            ("allow(#{ loder: \"x\" })", "did you mean `loader`?"),
            ("allow(#{ loader: \"../x\" })", "`loader`: the file name has a '..' part"),
            ("allow(#{ menu: \"x\" })", "`menu` must be a menu of pxe_menu"),
            ("allow(#{ menu: pxe_menu(#{ entries: [] }) })", "has no entries"),
            ("allow(#{ menu: pxe_menu(#{ entries: [1] }) })", "entry 1 must be a map"),
            (
                "allow(#{ menu: pxe_menu(#{ entries: [#{ title: \"x\" }] }) })",
                "`x` needs either an `image` or a `loader`",
            ),
        ] {
            let error = allow(body).unwrap_err();
            assert!(error.contains(says), "{body}: {error}");
        }
    }
}
