//! `kiban components`: what the server consists of, and what each part needs.

use kiban_runtime::component::{Component, Permission};
use kiban_runtime::health;
use kiban_runtime::route::Route;

use super::config::Flags;
use crate::server::{Listed, Wiring, components, rbac};
use crate::{Exit, terminal};

/// Arguments of `kiban components`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kiban components --config kiban.yaml\n  kiban components --rbac > rbac.yaml"
)]
pub struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Print the RBAC manifests of what is switched on instead
    #[arg(long)]
    rbac: bool,
    /// The namespace that the server runs in, for the manifests
    #[arg(long, value_name = "NAME", default_value = "kiban-system", value_parser = namespace)]
    namespace: String,
}

fn namespace(text: &str) -> Result<String, String> {
    if kiban_base::names::is_dns1123_label(text) {
        return Ok(text.to_owned());
    }
    Err("a namespace's name has lower-case letters, digits and '-', at most 63".to_owned())
}

/// Prints the list, or the manifests.
pub fn run(arguments: &Arguments) -> Exit {
    let loaded = match arguments.flags.load_or_say() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let list = components(&loaded.value, &Wiring::default());
    if arguments.rbac {
        let on = list.iter().filter(|listed| listed.on);
        let permissions: Vec<(&str, Permission)> = on
            .flat_map(|listed| {
                let name = listed.component.name();
                listed.component.permissions().into_iter().map(move |permission| (name, permission))
            })
            .collect();
        terminal::line(rbac::manifests(&arguments.namespace, &permissions).trim_end());
        return Exit::Done;
    }
    for line in show(&list) {
        terminal::line(&line);
    }
    Exit::Done
}

/// A line a component, and below it what it states of itself.
fn show(list: &[Listed]) -> Vec<String> {
    let width =
        list.iter().map(|l| l.component.name().len()).chain([health::SERVER.len()]).max().unwrap_or(0);
    let head = |name: &str, on: bool, about: &str| {
        format!("{name:width$}  {:3}  {about}", if on { "on" } else { "off" })
    };
    let mut lines = vec![head(health::SERVER, true, "the process itself; cannot be switched off")];
    lines.extend(health::routes().iter().map(route));
    for listed in list {
        let component = &*listed.component;
        lines.push(head(component.name(), listed.on, component.about()));
        lines.extend(details(component));
    }
    lines
}

fn details(component: &dyn Component) -> Vec<String> {
    let mut lines: Vec<String> = component.routes().iter().map(route).collect();
    lines.extend(component.watches().iter().map(|kind| format!("  watches     {kind}")));
    lines.extend(component.permissions().iter().map(permission));
    lines.extend(component.metrics().iter().map(|name| format!("  metric      {name}")));
    lines
}

fn route(route: &Route) -> String {
    let methods: Vec<&str> = route.methods.iter().map(|method| method.as_str()).collect();
    format!("  route       {} {} ({}): {}", methods.join(","), route.path, route.class.as_str(), route.about)
}

fn permission(permission: &Permission) -> String {
    let group = if permission.group.is_empty() { String::new() } else { format!(".{}", permission.group) };
    let resources: Vec<String> = permission.resources.iter().map(|r| format!("{r}{group}")).collect();
    let names = match permission.names.is_empty() {
        true => String::new(),
        false => format!(" {}", permission.names.join(",")),
    };
    let within = permission.namespace.as_ref().map(|n| format!(" in {n}")).unwrap_or_default();
    let verbs = permission.verbs.join(",");
    format!("  permission  {verbs} {}{names}{within}: {}", resources.join(","), permission.why)
}
