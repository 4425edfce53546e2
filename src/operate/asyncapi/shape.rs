//! The JSON Schema that a sample shows: which fields there are, and of what type. Nothing is required, and more may come.

use serde_json::{Map, Value, json};

/// The shape of a value. Of an array, that of its first element.
pub(super) fn shape(sample: &Value) -> Value {
    match sample {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(number) if number.is_f64() => json!({"type": "number"}),
        Value::Number(_) => json!({"type": "integer"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(elements) => match elements.first() {
            None => json!({"type": "array"}),
            Some(first) => json!({"type": "array", "items": shape(first)}),
        },
        Value::Object(fields) => {
            let properties: Map<_, _> = fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect();
            json!({"type": "object", "properties": properties})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_the_sample_s_fields_and_types_and_requires_none() {
        let sample =
            json!({"id": 1, "rate": 1.5, "on": true, "who": {"name": "Ana"}, "tags": ["vip"], "none": null, "few": []});
        let expected = json!({"type": "object", "properties": {
            "id": {"type": "integer"},
            "rate": {"type": "number"},
            "on": {"type": "boolean"},
            "who": {"type": "object", "properties": {"name": {"type": "string"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "none": {},
            "few": {"type": "array"},
        }});
        assert_eq!(shape(&sample), expected);
    }
}
