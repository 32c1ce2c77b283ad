package compose

import (
	"bytes"
	"encoding/json"
	"reflect"
	"time"
)

// specURL is where editors find the Compose specification's own schema.
// Source: https://github.com/compose-spec/compose-spec, schema/compose-spec.json.
const specURL = "https://raw.githubusercontent.com/compose-spec/compose-spec/main/schema/compose-spec.json"

// Schema is the JSON Schema (2020-12) of a compose file with strake's settings, indented: the Compose specification's, by its public
// address, and x-strake at the top level and in services. It is made from the tags of Settings.
func Schema() []byte {
	at := func(name, doc string) map[string]any {
		return map[string]any{"$ref": "#/$defs/" + name, "description": doc}
	}
	s := map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "Compose file with strake's settings", "type": "object",
		"allOf": []any{map[string]any{"$ref": specURL}},
		"properties": map[string]any{
			settingsKey: at("settings", "Settings of strake for the project."),
			"services": map[string]any{"additionalProperties": map[string]any{"properties": map[string]any{
				settingsKey: at("service-settings", "Settings of strake for the service.")}}},
		},
		"$defs": map[string]any{
			"settings":         schemaOf(reflect.TypeFor[Settings]()),
			"service-settings": schemaOf(reflect.TypeFor[ServiceSettings]()),
		},
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(s); err != nil {
		panic(err) // maps, slices and texts can always be encoded
	}
	return text.Bytes()
}

// schemaOf is what the decoder takes for a type. null is an empty setting.
func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem())
	case t == reflect.TypeFor[time.Duration]():
		return map[string]any{"type": []string{"string", "null"}, "format": "duration", "examples": []string{"1m30s", "2d"}}
	case t == reflect.TypeFor[Bytes]():
		return map[string]any{"type": []string{"integer", "string", "null"}, "examples": []string{"512m", "2g"}}
	case t == reflect.TypeFor[Dollars]():
		return map[string]any{"type": []string{"number", "string", "null"}, "examples": []string{"2 USD", "0.35 USD"}}
	case t == reflect.TypeFor[Variables]():
		return map[string]any{"type": []string{"array", "object", "null"}, "items": map[string]any{"type": "string"},
			"additionalProperties": map[string]any{"type": []string{"string", "number", "boolean", "null"}}}
	case t.Kind() == reflect.Struct:
		properties := map[string]any{}
		for _, f := range settingFields(t) {
			p := schemaOf(t.Field(f.index).Type)
			p["description"] = f.doc
			if f.enum != nil {
				p = map[string]any{"enum": f.enum, "description": f.doc}
			}
			properties[f.name] = p
		}
		return map[string]any{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	case t.Kind() == reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": schemaOf(t.Elem())}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": schemaOf(t.Elem())}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": []string{"boolean", "string", "null"}}
	case t.Kind() == reflect.Float64:
		return map[string]any{"type": []string{"number", "string", "null"}}
	case t.Kind() == reflect.Int:
		return map[string]any{"type": []string{"integer", "string", "null"}}
	}
	return map[string]any{"type": []string{"string", "null"}}
}
