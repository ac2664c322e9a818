//! What an entry of the contract consists of, and the options of the builders.
//!
//! **Invariant**: the code that reads options, its errors, the documentation, `script help` and the definitions for
//! editors are made from the tables here and in [`super::api`].

/// A function of the contract.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// A use that runs.
    pub example: &'static str,
    /// Every way to call it, as in `deny(reason: text) -> verdict`.
    pub calls: &'static [&'static str],
    /// The keys of its map of options.
    pub options: &'static [OptionKey],
}

/// An entry; what it takes and gives is said by [`Function::calls`].
pub(super) const fn function(name: &'static str, about: &'static str, example: &'static str) -> Function {
    Function { name, about, example, calls: &[], options: &[] }
}

impl Function {
    /// The same, with the ways to call it: `name(parameter: type, ...) -> type`.
    pub(super) const fn calls(self, calls: &'static [&'static str]) -> Function {
        Function { calls, ..self }
    }

    /// The type of what it gives.
    pub fn gives(&self) -> &'static str {
        self.calls.first().and_then(|call| call.split_once(" -> ")).map_or("", |(_, gives)| gives)
    }

    /// The same, with the keys of its options.
    pub(super) const fn options(self, options: &'static [OptionKey]) -> Function {
        Function { options, ..self }
    }
}

/// A key of a map of options.
#[derive(Debug, Clone, Copy)]
pub struct OptionKey {
    /// Its name.
    pub name: &'static str,
    /// The type of its value in plain words.
    pub kind: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Whether it must be there.
    pub is_needed: bool,
}

/// A key that may be left out.
pub(super) const fn key(name: &'static str, kind: &'static str, about: &'static str) -> OptionKey {
    OptionKey { name, kind, about, is_needed: false }
}

/// A key that must be there.
pub(super) const fn needed(name: &'static str, kind: &'static str, about: &'static str) -> OptionKey {
    OptionKey { name, kind, about, is_needed: true }
}

const ID: OptionKey = key("id", "text", "its name in menus, logs and cases: letters, digits, `-`, `_` and `.`");
const TITLE: OptionKey = key("title", "text", "what the menu shows");
const GROUP: OptionKey = key("group", "text", "the heading that a menu shows it under");
const KEY: OptionKey = key("key", "text", "the letter or digit that chooses it at once");
const HIDDEN: OptionKey = key("hidden", "true or false", "whether a menu does not show it: its key chooses it");
const NEEDS: OptionKey = key("needs", "a question", "what the person at the machine is asked before it starts");
const PROMPT_KEY: OptionKey = key(
    "prompt",
    "text, or a map",
    "a key that is waited for where it would boot by itself; without it the own disk starts",
);
const VERIFY: OptionKey = key(
    "verify",
    "text",
    "its files must be signed: `required`, or `if-able` where builds that cannot verify boot it too",
);
const SIGNATURE: OptionKey =
    key("signature", "text", "what the names of the signature files end in; `.sig` by default");
const TEXTS: &str = "text, or an array of texts";

/// Of `allow`: what differs from the usual.
pub(super) const ALLOW: &[OptionKey] = &[
    key("loader", "text", "the boot loader, by a name of the loaders folders, instead of its architecture's"),
    key("menu", "a menu of pxe_menu()", "a menu that PXE firmware itself shows"),
    key("style", "text", "how PXE firmware is told its boot file: `binl` or `pxe10`"),
    key("delay", "number", "milliseconds that the answer to a DISCOVER waits, up to 10000"),
    key("secs_min", "number", "seconds that the client must have tried before it is answered, up to 60"),
    key("local_boot", "text", "how it gets to its own disk: `sanboot`, `exit`, `exit-failed` or `reboot`"),
    key("blksize_max", "number", "the largest TFTP block that it is sent, from 512 to 65464 octets"),
    key("file_option", "true or false", "whether the boot file is in option 67 as well, with a NUL behind it"),
    key("file_size", "true or false", "whether option 13 tells the size of the boot file"),
    key("ipxe_option", "text", "what option 175 holds: `encapsulated`, or `url` for the loaders of 2Pint"),
];
/// Of `pxe_menu`.
pub(super) const PXE_MENU: &[OptionKey] = &[
    key("prompt", "text", "what the screen shows while it waits"),
    key("timeout", "number", "seconds until the own disk starts: 3 by default, 0 is at once, 255 waits for ever"),
    key("local", "text", "what the first line is called, the own disk"),
    needed(
        "entries",
        "an array of maps",
        "the lines behind it: `title`, and `image` (an id of boot_images) or `loader` (a name of the loaders folders)",
    ),
];
/// Of an entry of `pxe_menu`.
pub(super) const PXE_ENTRY: &[OptionKey] = &[
    needed("title", "text", "what the screen shows"),
    key("image", "text", "the id of an image of boot_images"),
    key("loader", "text", "a name of the loaders folders"),
];

/// Of `refer`.
pub(super) const REFER: &[OptionKey] =
    &[key("style", "text", "`ask`: this server asks the upstream; `redirect`: the machine goes there")];
/// Of `linux`.
pub(super) const LINUX: &[OptionKey] = &[
    ID,
    TITLE,
    GROUP,
    KEY,
    HIDDEN,
    NEEDS,
    PROMPT_KEY,
    VERIFY,
    SIGNATURE,
    needed("kernel", "text", "the kernel: a file of the images folder, or a URL"),
    key("initrd", TEXTS, "initial RAM disks, in their order"),
    key("cmdline", TEXTS, "the kernel's command line; texts are joined by spaces"),
];
/// Of `wim`.
pub(super) const WIM: &[OptionKey] = &[
    ID,
    TITLE,
    GROUP,
    KEY,
    HIDDEN,
    NEEDS,
    PROMPT_KEY,
    VERIFY,
    SIGNATURE,
    needed("wim", "text", "the WIM with Windows PE"),
    key("wimboot", "text", "the loader; the file `wimboot` by default"),
    key("bcd", "text", "the boot configuration; wimboot brings its own"),
    key("boot_sdi", "text", "the RAM disk `boot.sdi`; wimboot takes the one of the WIM"),
    key("files", "a map from names to files, or an array of texts", "files that Windows PE finds in System32"),
    key("args", TEXTS, "arguments of wimboot, such as `gui` or `index=1`"),
];
/// Of `efi`.
pub(super) const EFI: &[OptionKey] = &[
    ID,
    TITLE,
    GROUP,
    KEY,
    HIDDEN,
    NEEDS,
    PROMPT_KEY,
    VERIFY,
    SIGNATURE,
    needed("source", "text", "the program: a file of the images folder, or a URL"),
    key("cmdline", TEXTS, "its arguments"),
];
/// Of `chain`.
pub(super) const CHAIN: &[OptionKey] = &[
    ID,
    TITLE,
    GROUP,
    KEY,
    HIDDEN,
    NEEDS,
    PROMPT_KEY,
    VERIFY,
    SIGNATURE,
    needed("source", "text", "a file of the images folder, or a URL"),
];
/// Of `sanboot`.
pub(super) const SOURCE: &[OptionKey] = &[
    ID,
    TITLE,
    GROUP,
    KEY,
    HIDDEN,
    NEEDS,
    PROMPT_KEY,
    needed("source", "text", "a file of the images folder, or a URL"),
];
/// Of `referral`.
pub(super) const REFERRAL: &[OptionKey] = &[
    ID,
    TITLE,
    GROUP,
    KEY,
    HIDDEN,
    NEEDS,
    PROMPT_KEY,
    needed("url", "text", "where the other server's boot script is"),
    key("facts", "text", "how the machine's facts are told: `none`, `query` or `form`"),
];
/// Of `retry`.
pub(super) const RETRY: &[OptionKey] = &[
    ID,
    TITLE,
    GROUP,
    KEY,
    HIDDEN,
    NEEDS,
    PROMPT_KEY,
    needed("wait", "number", "seconds until the machine asks again"),
];
/// Of `ipxe`.
pub(super) const IPXE: &[OptionKey] =
    &[ID, TITLE, GROUP, KEY, HIDDEN, NEEDS, PROMPT_KEY, needed("text", "text", "the commands, one a line")];
/// Of `local_disk`.
pub(super) const LOCAL_DISK: &[OptionKey] = &[
    ID,
    TITLE,
    GROUP,
    KEY,
    HIDDEN,
    NEEDS,
    PROMPT_KEY,
    key("method", "text", "the way to it: `sanboot`, `exit`, `exit-failed` or `reboot`"),
];
/// Of the other images that need no file.
pub(super) const PLAIN: &[OptionKey] = &[ID, TITLE, GROUP, KEY, HIDDEN, NEEDS, PROMPT_KEY];
/// Of `menu`.
pub(super) const MENU: &[OptionKey] = &[
    key("title", "text", "the heading"),
    key("timeout", "number", "seconds until the default starts; 0 waits for ever"),
    key("default_image", "text, or an image", "what starts when nobody chooses: the id of an image, or the image"),
    needed("images", "an array of images", "what is offered"),
    key("prompt", "text, or a map", "a key that is waited for before the menu; without it the own disk starts"),
    key("look", "a map", "a picture and colors, where the build of iPXE has them"),
];
/// Of `prompt`.
pub(super) const PROMPT: &[OptionKey] = &[
    key("text", "text", "what the screen shows"),
    key("key", "text", "the letter or digit; any key by default"),
    key("timeout", "number", "seconds that are waited, up to 3600; 10 by default"),
];
/// Of `look`.
pub(super) const LOOK: &[OptionKey] = &[
    key("picture", "text", "a PNG behind the menu: a file of the images folder, or a URL"),
    key("size", "an array of numbers", "width and height of the screen in pixels; those of the picture by default"),
    key("colors", "a map", "colors such as `#1a2b3c`"),
];
/// Of `colors`.
pub(super) const COLORS: &[OptionKey] = &[
    key("text", "text", "titles and lines"),
    key("background", "text", "behind them; the picture by default"),
    key("selected_text", "text", "the line under the cursor"),
    key("selected_background", "text", "behind that line"),
    key("heading", "text", "the headings of groups"),
];

/// Of `ask_pin` and `ask_login`.
pub(super) const ASK: &[OptionKey] = &[ASKED, FOR];
/// Of `ask_approval`.
pub(super) const ASK_APPROVAL: &[OptionKey] =
    &[ASKED, FOR, key("wait", "number", "seconds that somebody may take, from 5 to 86400; 900 by default")];
const ASKED: OptionKey = key("title", "text", "what the screen shows");
const FOR: OptionKey = key("groups", TEXTS, "who is good enough: people of one of these groups; everybody by default");

/// Of `http_get` and `http_post`.
pub(super) const HTTP: &[OptionKey] =
    &[key("query", "map", "names and values behind the question mark; both are encoded")];

/// The functions by what they are for, in the order of the documentation.
pub(super) const TOPICS: &[(&str, &[&str])] = &[
    ("May the machine boot?", &["allow", "pxe_menu", "deny", "ignore"]),
    ("Leaving it to others", &["pass", "refer"]),
    (
        "What it boots",
        &[
            "linux",
            "wim",
            "efi",
            "chain",
            "sanboot",
            "ipxe",
            "referral",
            "retry",
            "local_disk",
            "reboot",
            "poweroff",
            "shell",
            "menu",
        ],
    ),
    ("The person at the machine", &["ask_pin", "ask_login", "ask_approval"]),
    ("Data files", &["table", "data", "find", "find_all", "find_network", "rows", "identify"]),
    ("Databases and web services", &["query", "fresh_query", "http_get", "http_post"]),
    (
        "Networks, times, text, versions",
        &[
            "in_network",
            "between",
            "is_between",
            "is_on",
            "in_zone",
            "matches",
            "captures",
            "compare_versions",
            "version_at_least",
            "ring",
            "in_ring",
        ],
    ),
    ("Notes and counters", &["state.get", "state.set", "state.add", "state.clear", "count"]),
];

/// The rest.
pub(super) const OTHER_TOPIC: &str = "More";

/// The topic of a function.
pub fn topic(name: &str) -> &'static str {
    TOPICS.iter().find(|(_, names)| names.contains(&name)).map_or(OTHER_TOPIC, |(topic, _)| topic)
}

/// All topics, in the order of the documentation.
pub fn topics() -> impl Iterator<Item = &'static str> {
    TOPICS.iter().map(|(topic, _)| *topic).chain([OTHER_TOPIC])
}
