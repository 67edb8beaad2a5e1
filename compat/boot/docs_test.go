package boot

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// docs/boot.md names every field of the JSON report and every class of failures.
func TestDocs(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/boot.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	seen := make(map[reflect.Type]bool)
	var walk func(x reflect.Type)
	walk = func(x reflect.Type) {
		for x.Kind() == reflect.Slice || x.Kind() == reflect.Pointer {
			x = x.Elem()
		}
		if x.Kind() != reflect.Struct || seen[x] || x.PkgPath() != reflect.TypeFor[Report]().PkgPath() {
			return
		}
		seen[x] = true
		for i := range x.NumField() {
			f := x.Field(i)
			if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" && !strings.Contains(doc, "`"+tag+"`") {
				t.Errorf("field %s of %s is not in docs/boot.md", tag, x.Name())
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Report]())
	if len(seen) < 8 {
		t.Errorf("%d structs were looked at", len(seen))
	}
	file, err := parser.ParseFile(token.NewFileSet(), "classify.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	classes := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "Class" {
			word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if classes++; err != nil || !strings.Contains(doc, "| `"+word+"` |") {
				t.Errorf("class %q is not in docs/boot.md: %v", word, err)
			}
		}
		return true
	})
	if classes < 20 {
		t.Errorf("%d classes were found", classes)
	}
}
