//! The error quota as a gauge: how much of it is used, by which webhooks, and when it will be less.

use std::cmp::Reverse;

use super::moment::Moment;
use super::page::Page;
use super::words::words;
use crate::decide::ids::{EndpointId, WorkspaceId};
use crate::decide::policy::QuotaScope;
use crate::operate::{Api, Problem};
use crate::store::records::Endpoint;

/// Webhooks that are named, those with most failures; the others are counted together.
const NAMED: usize = 10;

words! {
    pub struct Words;

    title: "Error quota" | "Cuota de errores";
    used(used, limit, window): "{used} of {limit} failed attempts in {window} are used." |
                               "Se usaron {used} de {limit} intentos fallidos en {window}.";
    shared: "All webhooks of the workspace share it. One failure more than it holds disables the webhook that failed." |
            "La comparten todos los webhooks del espacio de trabajo. Un fallo más de los que admite deshabilita el webhook que falló.";
    own: "One failure more than it holds disables the webhook." |
         "Un fallo más de los que admite deshabilita el webhook.";
    leaves: "The next failure leaves the window at" | "El próximo fallo sale de la ventana a las";
    this_one: "this webhook" | "este webhook";
    others: "other webhooks" | "otros webhooks";
}

/// The gauge.
pub struct Quota {
    /// Failures in the window.
    pub used: u32,
    /// How many it may hold.
    pub limit: u32,
    /// The same in words.
    pub words: String,
    /// Whether the workspace's webhooks share it.
    pub shared: bool,
    /// Whose failures they are, those with most first.
    pub shares: Vec<Share>,
    /// When one of them leaves the window.
    pub leaves: Option<Moment>,
}

/// A webhook's failures.
pub struct Share {
    /// How many.
    pub count: u32,
    /// Its URL, or what stands for it.
    pub name: String,
    /// Where it is, if it is not the one that the page is about.
    pub id: Option<EndpointId>,
}

/// The quota that an endpoint's failures count in.
pub async fn quota(api: &Api, page: &Page, workspace: &WorkspaceId, endpoint: &Endpoint) -> Result<Quota, Problem> {
    let (rule, locale) = (api.policy.quota, page.locale());
    let words = Words(locale);
    let mut used = api.store.quota(workspace).await?;
    let shared = rule.scope == QuotaScope::Workspace;
    let own = used.by_endpoint.iter().find(|(id, _)| *id == endpoint.id).map_or(0, |(_, count)| *count);
    let count = if shared { used.used } else { own };
    used.by_endpoint.retain(|_| shared);
    used.by_endpoint.sort_by_key(|(_, count)| Reverse(*count));
    let rest = used.by_endpoint.split_off(used.by_endpoint.len().min(NAMED));
    let mut shares = named(api, words, workspace, endpoint, used.by_endpoint).await?;
    let rest: u32 = rest.iter().map(|(_, count)| count).sum();
    shares.extend((rest > 0).then(|| Share { count: rest, name: words.others().to_owned(), id: None }));
    Ok(Quota {
        used: count,
        limit: rule.limit,
        words: words.used(count, rule.limit, locale.time(rule.window)),
        shared,
        shares,
        leaves: used.next_leaves_ms.filter(|_| shared).map(Moment),
    })
}

/// Finds the URLs of those who failed.
async fn named(
    api: &Api,
    words: Words,
    workspace: &WorkspaceId,
    endpoint: &Endpoint,
    counts: Vec<(EndpointId, u32)>,
) -> Result<Vec<Share>, Problem> {
    let others: Vec<_> = counts.iter().map(|(id, _)| id.clone()).filter(|id| *id != endpoint.id).collect();
    let others = if others.is_empty() { Vec::new() } else { api.store.endpoints_among(workspace, &others).await? };
    let share = |(id, count)| {
        if id == endpoint.id {
            return Share { count, name: words.this_one().to_owned(), id: None };
        }
        let found = others.iter().find(|other| other.id == id);
        Share { count, name: found.map_or_else(|| id.to_string(), |other| other.config.url.clone()), id: Some(id) }
    };
    Ok(counts.into_iter().map(share).collect())
}
