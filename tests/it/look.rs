//! How a menu looks, the key before optional work, and images that must be signed, as machines get them.

use crate::harness::{Site, pointsman, printed};

/// A site whose rules give this.
fn site(images: &str) -> Site {
    let site =
        Site::with_rules(&format!("fn allow_boot(request) {{ allow() }}\nfn boot_images(request) {{\n{images}\n}}\n"));
    site.write("images/menu/back.png", "a picture");
    site
}

fn script(report: &serde_json::Value) -> &str {
    report["script"].as_str().unwrap()
}

const TWO: &str = r#"images: [local_disk(), linux(#{ id: "debian", title: "Debian", kernel: "debian/linux" })]"#;

#[test]
fn nobody_at_the_machine_is_the_own_disk() {
    let image = r#"linux(#{ id: "debian", kernel: "debian/linux",
                           prompt: #{ text: "Press I to install Debian", key: "i", timeout: 7 } })"#;
    let site = site(image);
    let daemon = site.serve();
    let nobody = daemon.boot(&["--arch", "x86-bios"]);
    assert_eq!(nobody["ending"], "local_disk", "{nobody:#}");
    let line = "prompt --key=i --timeout=7000 Press I to install Debian || goto local\n";
    assert!(script(&nobody).contains(line), "{nobody:#}");
    let somebody = daemon.boot(&["--arch", "x86-bios", "--keys", "i"]);
    assert_eq!(somebody["ending"], "booted", "{somebody:#}");
}

#[test]
fn a_menu_waits_for_its_key_before_it_is_shown() {
    let site = site(&format!("menu(#{{ title: \"Lab\", prompt: \"Press a key for the menu\", {TWO} }})"));
    let daemon = site.serve();
    let nobody = daemon.boot(&["--arch", "x64-uefi", "--pick", "debian"]);
    assert!(!nobody["steps"].to_string().contains("debian/linux"), "{nobody:#}");
    let script = script(&nobody);
    let (prompt, menu) = (script.find("prompt --timeout=10000").unwrap(), script.find("menu Lab").unwrap());
    assert!(prompt < menu, "{script}");
}

#[test]
fn a_menu_has_the_look_of_its_rule_and_else_that_of_the_site() {
    let look = r##"look: #{ picture: "menu/back.png", size: [800, 600],
                            colors: #{ text: "#ffffff", background: "#000040", selected_text: "#000000" } }"##;
    let own = site(&format!("menu(#{{ title: \"Lab\", {look}, {TWO} }})"));
    let daemon = own.serve();
    let report = daemon.boot(&["--arch", "x64-uefi", "--pick", "debian"]);
    let text = script(&report);
    let picture = text.lines().find(|line| line.starts_with("console ")).unwrap_or_else(|| panic!("{text}"));
    assert!(picture.starts_with("console --x=800 --y=600 --picture=http://127.0.0.1:"), "{picture}");
    let path = picture.split("127.0.0.1:").nth(1).unwrap().split_once('/').unwrap().1;
    assert!(daemon.get(&format!("/{}", path.trim_end_matches(" ||"))).ends_with("a picture"));
    for line in [
        "colour --basic=7 --rgb=0xffffff 2 || goto plain\n",
        "colour --basic=0 --rgb=0x000040 4 ||\n",
        "cpair --foreground=2 --background=4 1 ||\n",
        "cpair --foreground=3 --background=1 2 ||\n:plain\n:menu\nmenu Lab\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    // A build that has none of these commands boots all the same.
    assert_eq!(report["ending"], "booted", "{report:#}");
    let plain = site(&format!("menu(#{{ title: \"Lab\", {TWO} }})"));
    plain.edit("pointsman.toml", |text| {
        text + "\n[menu]\npicture = \"menu/back.png\"\ncolors = { text = \"#00ff00\" }\n"
    });
    let report = plain.serve().boot(&["--arch", "x64-uefi", "--pick", "debian"]);
    let text = script(&report);
    assert!(text.contains("console --picture=http://") && text.contains("colour --basic=2 --rgb=0x00ff00 2"), "{text}");
}

#[test]
fn what_must_be_signed_does_not_boot_where_nobody_can_verify_it() {
    let image = |verify: &str| {
        format!(
            r#"linux(#{{ id: "debian", title: "Debian", kernel: "debian/linux", initrd: "debian/initrd.gz",
                             verify: "{verify}" }})"#
        )
    };
    let strict = site(&image("required"));
    let text = printed(&strict.run(&["decide", "--arch", "x64-uefi"]));
    for line in ["imgtrust --allow || goto unable-debian", "imgtrust || goto failed", "boot || goto failed"] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    for (name, file) in [("linux", "debian/linux.sig"), ("initrd0", "debian/initrd.gz.sig")] {
        let line =
            text.lines().find(|line| line.contains(&format!("imgverify {name} "))).unwrap_or_else(|| panic!("{text}"));
        assert!(line.ends_with(&format!("/f/{file} || goto failed")), "{line}");
    }
    // This machine's iPXE has no imgtrust.
    let daemon = strict.serve();
    let report = daemon.boot(&["--arch", "x64-uefi"]);
    let screen = report["screen"].to_string();
    assert!(screen.contains("cannot verify signatures") && screen.contains("Debian must be verified"), "{report:#}");
    assert!(!report["steps"].to_string().contains("debian/linux"), "nothing was loaded: {report:#}");
    assert_ne!(report["ending"], "booted", "{report:#}");
    // The server hears of it.
    daemon.wait_for_log(|line| line["image"] == "debian" && line["message"].to_string().contains("did not boot"));
    let lenient = site(&image("if-able"));
    let report = lenient.serve().boot(&["--arch", "x64-uefi"]);
    assert!(report["screen"].to_string().contains("Debian starts without"), "{report:#}");
    assert_eq!(report["ending"], "booted", "{report:#}");
}

#[test]
fn what_a_rule_says_wrongly_is_told_with_the_remedy() {
    let told = |images: &str| printed(&site(images).run(&["decide"]));
    assert!(told(r#"linux(#{ kernel: "k", prompt: #{ key: "F12" } })"#).contains("a key is one letter or digit"));
    assert!(told(r#"linux(#{ kernel: "k", prompt: #{ timeout: 0 } })"#).contains("use 1 to 3600 seconds"));
    assert!(told(r#"linux(#{ kernel: "k", prompt: 7 })"#).contains("`prompt` must be a map"));
    assert!(told(r#"linux(#{ kernel: "k", verify: "maybe" })"#).contains("use required or if-able"));
    assert!(told(r#"linux(#{ kernel: "k", signature: "../x" })"#).contains("is no ending of signature files"));
    assert!(told(r#"sanboot(#{ source: "http://h/x", verify: "required" })"#).contains("no option `verify`"));
    let menu = |look: &str| told(&format!("menu(#{{ look: {look}, {TWO} }})"));
    assert!(menu(r##"#{ colors: #{ text: "red" } }"##).contains("write it like #1a2b3c"));
    assert!(menu(r##"#{ colors: #{ txt: "#ffffff" } }"##).contains("`text`"));
    assert!(menu("#{ size: [0, 0] }").contains("is no size of a screen"));
    assert!(menu("#{ font: \"x\" }").contains("look has no option `font`"));
    let site = site("local_disk()");
    site.edit("pointsman.toml", |text| text + "\n[menu]\ncolors = { text = \"red\" }\n");
    let output = pointsman(&["--config", &site.config(), "check"]);
    assert!(!output.status.success() && printed(&output).contains("write it like #1a2b3c"), "{}", printed(&output));
}

/// A part of the menu that only opens to whoever types the PIN: its line asks again, as somebody.
#[test]
fn the_advanced_part_of_a_menu_is_behind_a_login() {
    let rules = r#"
fn allow_boot(request) { allow() }
fn boot_images(request) {
    let images = [local_disk()];
    if request.person == () {
        images.push(retry(#{ id: "advanced", title: "Advanced ...", key: "a", wait: 1, needs: ask_pin("PIN of the lab") }));
    } else {
        images.push(linux(#{ id: "wipe", title: "Wipe the disk", key: "w", kernel: "debian/linux",
                             cmdline: `by=${request.person.name}` }));
    }
    menu(#{ title: "Lab", images: images })
}
"#;
    let site = crate::person::site(rules, "");
    let daemon = site.serve();
    let pin = |name: &str| site.path(&format!("typed/{name}")).to_str().unwrap().to_owned();
    let ann = daemon.boot(&["--arch", "x64-uefi", "--keys", "aw", "--pin-file", &pin("lab")]);
    assert_eq!(ann["ending"], "booted", "{ann:#}");
    assert!(script(&ann).contains("by=lab"), "{ann:#}");
    let nobody = daemon.boot(&["--arch", "x64-uefi", "--keys", "w"]);
    assert!(!nobody.to_string().contains("debian/linux"), "{nobody:#}");
}
