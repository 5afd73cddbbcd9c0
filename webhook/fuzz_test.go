package webhook

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/h2o-webhook/h2o-webhook/internal/corpus"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// FuzzServe proves that whatever comes is answered without a bug of ours, and
// that what is let through with the label is injected. The seeds, those of the
// golden cases among them, run with every `go test`.
func FuzzServe(f *testing.F) {
	cases, err := corpus.Load()
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		f.Add(string(c.Old), string(c.Input))
	}
	replaced := func(old, by string) string { return strings.Replace(plain, old, by, 1) }
	for _, object := range []string{
		"", "null", "{}", "[]", `"text"`, "1e999", "{", `{"metadata":null}`, `{"kind":"StatefulSet"}`,
		strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "\xff", "\x00", plain + plain, plain + `},"uid":"x"`,
		replaced(`"labels"`, `"annotations":null,"labels"`), replaced(`"labels"`, `"annotations":{},"labels"`),
		replaced(`"name":"demo"`, `"generateName":"demo-"`), replaced(`"name":"demo"`, `"name":"`+strings.Repeat("é", 300)+`"`),
		replaced(`"image":"h2o"`, `"env":null,"ports":null,"readinessProbe":null`), replaced(`"image":"h2o"`, `"env":[],"ports":[{}],"readinessProbe":{}`),
		replaced(`"image":"h2o"`, `"env":[null,{"name":"JAVA_TOOL_OPTIONS"},{"name":"","valueFrom":{}}],"ports":[null,{"containerPort":-1}]`),
		replaced(`[{"name":"h2o","image":"h2o"}]`, `null`), replaced(`[{"name":"h2o","image":"h2o"}]`, `[null,null]`),
		replaced(`"template":{"metadata":{"labels":{"a":"b"}},`, `"template":{`), replaced(`"selector":{"matchLabels":{"a":"b"}},`, `"selector":null,"replicas":-2147483648,`),
		replaced(`"labels"`, `"annotations":{"h2o.ai/injected":"{\"version\":1,\"changes\":[{\"at\":\"env\"},{\"at\":\"port\",\"key\":\"x\"},{\"at\":\"x\"},null]}"},"labels"`),
		replaced(`"labels"`, `"annotations":{"h2o.ai/injected":"[]"},"labels"`), replaced(`"labels"`, `"annotations":{"h2o.ai/injected":"null"},"labels"`),
	} {
		f.Add("", object)
		f.Add(plain, object)
		f.Add(object, plain)
	}
	server, _ := newServer(policy.Defaults())
	f.Fuzz(func(t *testing.T, old, object string) {
		const oldMark, objectMark = `"the old one"`, `"the new one"`
		var was []byte
		if old != "" {
			was = []byte(oldMark)
		}
		body := string(encode(t, review(was, []byte(objectMark))))
		response := post(t, server, []byte(strings.NewReplacer(oldMark, old, objectMark, object).Replace(body)))
		if !response.Allowed {
			if response.Result.Code == http.StatusInternalServerError || response.Result.Message == "" {
				t.Errorf("want a refusal that blames the request, got %+v", response.Result)
			}
			return
		}
		var document bytes.Buffer
		if json.Compact(&document, []byte(object)) != nil {
			return // it broke out of its place, and another object was answered for
		}
		checkInjected(t, document.Bytes(), response.Patch)
	})
}

// checkInjected fails where a managed object is let through as anything else
// than an injected one.
func checkInjected(t *testing.T, document, patch []byte) {
	t.Helper()
	if patch != nil {
		document = applyPatch(t, document, patch)
	}
	stored, err := readObject(document, "science")
	if err != nil {
		t.Fatalf("what is let through cannot be read: %v\n%s", err, document)
	}
	if inject.Managed(stored.Set) && stored.Set.DeletionTimestamp == nil && !inject.Injected(stored.Set) {
		t.Errorf("a managed set is let through uninjected: %s", document)
	}
}
