//! What no single key can tell of people and of their directory.

use super::super::{Config, LdapSection};
use super::Broken;
use crate::boot::Ask;
use crate::nearest::cut;

/// The longest name of a person, in octets.
const NAME_LEN_MAX: usize = 64;
/// The most PINs: each answer is compared with all of them.
const PINS_MAX: usize = 16;

/// Every rule that a configuration breaks.
pub(super) fn check(config: &Config, broken: &mut Vec<Broken>) {
    let people = &config.people;
    let mut check = |is_broken: bool, what: String, remedy: &str| {
        if is_broken {
            broken.push((what, remedy.to_owned()));
        }
    };
    check(
        !(1..=100).contains(&people.lockout_failures),
        format!("people.lockout_failures is {}", people.lockout_failures),
        "use 1 to 100",
    );
    check(
        people.pin.len() > PINS_MAX,
        format!("{} PINs", people.pin.len()),
        "use at most 16: every answer is compared with all",
    );
    let all = people.pin.iter().map(|(name, person)| ("pin", name, person));
    for (kind, name, person) in all.chain(people.user.iter().map(|(name, person)| ("user", name, person))) {
        let key = format!("people.{kind}.{}", cut(name));
        let is_name = (1..=NAME_LEN_MAX).contains(&name.len())
            && name.trim() == name
            && !name.contains(|c: char| c.is_control())
            && !name.contains("${");
        check(
            !is_name,
            format!("{key}: this is no name of a person"),
            "use 1 to 64 octets, without spaces at the ends",
        );
        let bad = person.groups.iter().find(|group| !Ask::is_group(group));
        check(
            bad.is_some(),
            format!("{key}.groups: `{}` is no name of a group", cut(bad.map_or("", String::as_str))),
            "use 1 to 64 octets",
        );
        check(
            person.groups.len() > Ask::GROUPS_MAX,
            format!("{key}.groups has more than 32"),
            "name those that scripts ask for",
        );
    }
    if let Some(ldap) = &people.ldap {
        check_directory(ldap, &mut check);
    }
}

fn check_directory(ldap: &LdapSection, check: &mut impl FnMut(bool, String, &str)) {
    let url = ldap.url.as_str();
    let host = url.strip_prefix("ldaps://").or_else(|| url.strip_prefix("ldap://")).unwrap_or_default();
    check(
        host.is_empty() || host.contains(['/', '@', '?', '#']),
        format!("people.ldap.url: `{}` is no address of a directory", cut(url)),
        "write url = \"ldaps://ldap.example.com\"; with ldap:// TLS is begun before anything is said",
    );
    check(
        ldap.ca.is_none(),
        "people.ldap: there is no ca to trust".into(),
        "write ca = \"FILE\", the CA of the directory's certificate (PEM)",
    );
    check(ldap.base.is_empty(), "people.ldap: there is no base".into(), "write base = \"ou=people,dc=example,dc=com\"");
    check(
        ldap.bind_dn.is_empty() == ldap.password_file.is_some(),
        "people.ldap: bind_dn and password_file belong together".into(),
        "give both, or neither to look people up anonymously",
    );
    let filter = ldap.filter.as_deref().unwrap_or(LdapSection::FILTER);
    let is_filter = |text: &str| text.starts_with('(') && text.ends_with(')');
    check(
        !is_filter(filter) || !filter.contains("{user}"),
        format!("people.ldap.filter: `{}` finds nobody by name", cut(filter)),
        "write filter = \"(uid={user})\"",
    );
    let groups = ldap.group_filter.as_deref();
    check(
        groups.is_some_and(|filter| !is_filter(filter) || !(filter.contains("{user}") || filter.contains("{dn}"))),
        format!("people.ldap.group_filter: `{}` finds no groups of a person", cut(groups.unwrap_or_default())),
        "write group_filter = \"(member={dn})\"",
    );
    check(
        ldap.group_base.is_some() && groups.is_none(),
        "people.ldap: group_base without group_filter".into(),
        "write group_filter = \"(member={dn})\"",
    );
}
