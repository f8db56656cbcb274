package plane

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html.tmpl
var docsSource string

var docsPage = template.Must(template.New("docs").Parse(docsSource))

// docsOperation is one operation as the page shows it.
type docsOperation struct {
	Method, Path, Summary, Description string
	Params                             []docsParam
	Body                               []docsParam
	Responses                          []docsResponse
}

type docsParam struct {
	Name, In, Type, Description string
	Required                    bool
}

type docsResponse struct {
	Status, Description, Type string
	Fields                    []docsParam
}

// docs renders the contract as a page without scripts or outside assets.
func (p *Plane) docs(w http.ResponseWriter, r *http.Request) {
	spec := p.API.OpenAPI()
	var out bytes.Buffer
	err := docsPage.Execute(&out, map[string]any{"Info": spec.Info, "Operations": docsOperations(spec)})
	if err != nil {
		writeRequestProblem(w, r, fromStatus(http.StatusInternalServerError, "", err).(*Problem))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = w.Write(out.Bytes())
}

func docsOperations(spec *huma.OpenAPI) []docsOperation {
	var ops []docsOperation
	for path, item := range spec.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete, item.Patch} {
			if op != nil {
				ops = append(ops, docsOf(spec, path, op))
			}
		}
	}
	slices.SortFunc(ops, func(a, b docsOperation) int {
		return strings.Compare(a.Path+a.Method, b.Path+b.Method)
	})
	return ops
}

func docsOf(spec *huma.OpenAPI, path string, op *huma.Operation) docsOperation {
	out := docsOperation{Method: op.Method, Path: path, Summary: op.Summary, Description: op.Description}
	for _, p := range op.Parameters {
		out.Params = append(out.Params, docsParam{Name: p.Name, In: p.In, Type: docsType(p.Schema), Description: p.Description, Required: p.Required})
	}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			out.Body = docsFields(spec, media.Schema)
		}
	}
	for status, r := range op.Responses {
		resp := docsResponse{Status: status, Description: r.Description}
		for contentType, media := range r.Content {
			resp.Type = contentType
			if contentType != ProblemContentType {
				resp.Fields = docsFields(spec, media.Schema)
			}
		}
		out.Responses = append(out.Responses, resp)
	}
	slices.SortFunc(out.Responses, func(a, b docsResponse) int { return strings.Compare(a.Status, b.Status) })
	return out
}

func docsFields(spec *huma.OpenAPI, s *huma.Schema) []docsParam {
	if s != nil && s.Ref != "" {
		s = spec.Components.Schemas.SchemaFromRef(s.Ref)
	}
	if s == nil {
		return nil
	}
	var out []docsParam
	for name, field := range s.Properties {
		out = append(out, docsParam{Name: name, Type: docsType(field), Description: field.Description, Required: slices.Contains(s.Required, name)})
	}
	slices.SortFunc(out, func(a, b docsParam) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func docsType(s *huma.Schema) string {
	switch {
	case s == nil:
		return "any"
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Type == huma.TypeArray:
		return "list of " + docsType(s.Items)
	case s.Type == "":
		return "any"
	case s.Format != "":
		return s.Type + " (" + s.Format + ")"
	}
	return s.Type
}
