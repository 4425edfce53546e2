//! The `curl` lines that the demo prints; each works as printed.

use crate::decide::ids::{EndpointId, WorkspaceId};

/// Writes `curl` lines for this demo.
#[derive(Clone, Debug)]
pub struct Curl {
    /// `http://127.0.0.1:8080`
    pub api: String,
    /// `http://127.0.0.1:…`, where the receivers are.
    pub receivers: String,
    /// The admin token of the demo.
    pub token: String,
    /// The demo's workspace.
    pub workspace: WorkspaceId,
}

impl Curl {
    /// Lists the endpoints.
    pub fn endpoints(&self) -> String {
        self.call("", "endpoints")
    }

    /// Shows the error quota.
    pub fn quota(&self) -> String {
        self.call("", "quota")
    }

    /// Enables an endpoint.
    pub fn enable(&self, endpoint: &EndpointId) -> String {
        self.call("-X POST ", &format!("endpoints/{endpoint}/enable"))
    }

    /// Makes a receiver answer 200.
    pub fn mend(&self, receiver: &str) -> String {
        format!("curl -X PUT {}/{receiver}/fine", self.receivers)
    }

    /// Makes a receiver answer 500.
    pub fn break_it(&self, receiver: &str) -> String {
        format!("curl -X PUT {}/{receiver}/failing", self.receivers)
    }

    fn call(&self, method: &str, path: &str) -> String {
        let Self { api, token, workspace, .. } = self;
        format!("curl -s {method}-H 'Authorization: Bearer {token}' {api}/v1/workspaces/{workspace}/{path}")
    }
}
