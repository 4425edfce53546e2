//! What is wrong with a field, in Spanish, where the English sentence is a lower layer's error, which speaks one language.

use crate::deliver::guard::{URL_BYTES_MAX, UrlProblem};
use crate::deliver::send::own::{HeaderProblem, OWN_HEADERS_MAX, OWN_NAME_BYTES_MAX, OWN_VALUE_BYTES_MAX};

/// Why a URL is refused.
pub fn url(problem: &UrlProblem) -> String {
    match problem {
        UrlProblem::TooLong => format!("La URL tiene más de {URL_BYTES_MAX} bytes."),
        UrlProblem::Port(port) => format!("El puerto {port} no está permitido para endpoints."),
        UrlProblem::NotAUrl(_) => "Esto no es una URL.".to_owned(),
        UrlProblem::NotHttps => "La URL debe empezar por https://.".to_owned(),
        UrlProblem::NotHttp => "La URL debe empezar por https:// o http://.".to_owned(),
        UrlProblem::NoHost => "La URL no indica ningún host.".to_owned(),
        UrlProblem::NotAHost => "El host de la URL no es un nombre de host.".to_owned(),
        UrlProblem::Credentials => {
            "La URL no puede llevar usuario ni contraseña; ponga las credenciales en una cabecera del endpoint."
                .to_owned()
        }
        UrlProblem::Fragment => {
            "La URL no puede llevar un fragmento (#…), que nunca se envía a un servidor.".to_owned()
        }
        UrlProblem::Address(_) => {
            "No se puede usar el host de la URL: las entregas no pueden ir a esa dirección.".to_owned()
        }
    }
}

/// Why a header is refused.
pub fn header(problem: &HeaderProblem) -> String {
    match problem {
        HeaderProblem::TooMany => format!("Un endpoint puede tener como máximo {OWN_HEADERS_MAX} cabeceras propias."),
        HeaderProblem::Name(name) => {
            format!("«{name}» no es un nombre de cabecera de 1 a {OWN_NAME_BYTES_MAX} letras, cifras y guiones.")
        }
        HeaderProblem::Value(name) => format!(
            "El valor de «{name}» debe tener como máximo {OWN_VALUE_BYTES_MAX} caracteres ASCII visibles, \
             con espacios solo entre ellos."
        ),
        HeaderProblem::Twice(name) => format!("La cabecera «{name}» está dos veces."),
        HeaderProblem::Ours(name) => format!("La cabecera «{name}» la pone Recadero."),
        HeaderProblem::Https(name) => {
            format!("La cabecera «{name}» pertenece a la conexión HTTP y no se puede poner.")
        }
    }
}
