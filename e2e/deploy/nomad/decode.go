package nomad

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/gocty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// field of a struct of Nomad's, by its tag.
type field struct {
	value            reflect.Value
	block, mandatory bool
}

// fields are a struct's attributes and blocks; labels its labels, in order.
func fields(s reflect.Value) (named map[string]field, labels []reflect.Value) {
	named = map[string]field{}
	for i := range s.NumField() {
		tag, ok := s.Type().Field(i).Tag.Lookup("hcl")
		if !ok {
			continue
		}
		name, kind, _ := strings.Cut(tag, ",")
		if kind == "label" {
			labels = append(labels, s.Field(i))
			continue
		}
		named[name] = field{value: s.Field(i), block: kind == "block", mandatory: kind == ""}
	}
	return named, labels
}

// decode fills a struct, given as a pointer, with a body.
func decode(into any, body *hclsyntax.Body, ctx *hcl.EvalContext) hcl.Diagnostics {
	return fill(reflect.ValueOf(into).Elem(), nil, body, ctx, body.SrcRange)
}

func fill(s reflect.Value, labels []string, body *hclsyntax.Body, ctx *hcl.EvalContext, at hcl.Range) hcl.Diagnostics {
	var diags hcl.Diagnostics
	named, places := fields(s)
	if len(labels) != len(places) && s.Type().Name() != "Job" {
		return hcl.Diagnostics{fault(at, "%d labels, want %d", len(labels), len(places))}
	}
	for i, place := range places {
		if err := set(place, cty.StringVal(labels[i])); err != nil {
			diags = append(diags, fault(at, "label %q: %v", labels[i], err))
		}
	}
	for name, a := range body.Attributes {
		f, ok := named[name]
		if !ok || f.block {
			diags = append(diags, unexpected(a.NameRange, "an attribute", name))
			continue
		}
		value, more := evaluate(a.Expr, ctx)
		if diags = append(diags, more...); more.HasErrors() {
			continue
		}
		if err := set(f.value, value); err != nil {
			diags = append(diags, fault(a.NameRange, "%s: %v", name, err))
		}
	}
	for name, f := range named {
		if _, ok := body.Attributes[name]; f.mandatory && !ok {
			diags = append(diags, fault(at, "%s is missing", name))
		}
	}
	blocks, more := expand(body.Blocks, ctx)
	diags = append(diags, more...)
	for _, b := range blocks {
		f, ok := named[b.name]
		if !ok || !f.block {
			diags = append(diags, unexpected(b.at, "a block", b.name))
			continue
		}
		diags = append(diags, put(f.value, b)...)
	}
	return diags
}

// block is one of the file, or one that a dynamic block makes.
type block struct {
	name   string
	labels []string
	body   *hclsyntax.Body
	ctx    *hcl.EvalContext
	at     hcl.Range
}

// put decodes a block into the field that is for it.
func put(f reflect.Value, b block) hcl.Diagnostics {
	kind := f.Type()
	switch {
	case kind.Kind() == reflect.Map && kind.Elem().Kind() != reflect.Pointer: // meta, env, config …
		content, diags := free(b)
		if !diags.HasErrors() {
			for name, value := range content.AsValueMap() {
				element := reflect.New(kind.Elem()).Elem()
				if err := set(element, value); err != nil {
					diags = append(diags, fault(b.at, "%s: %v", name, err))
					continue
				}
				if f.IsNil() {
					f.Set(reflect.MakeMap(kind))
				}
				f.SetMapIndex(reflect.ValueOf(name), element)
			}
		}
		return diags
	case kind.Kind() == reflect.Map: // by label: volumes
		element := reflect.New(kind.Elem().Elem())
		diags := fill(element.Elem(), b.labels, b.body, b.ctx, b.at)
		if f.IsNil() {
			f.Set(reflect.MakeMap(kind))
		}
		f.SetMapIndex(reflect.ValueOf(b.labels[0]), element)
		return diags
	case kind.Kind() == reflect.Slice:
		element := reflect.New(kind.Elem()).Elem()
		into := element
		if element.Kind() == reflect.Pointer {
			element.Set(reflect.New(kind.Elem().Elem()))
			into = element.Elem()
		}
		diags := fill(into, b.labels, b.body, b.ctx, b.at)
		f.Set(reflect.Append(f, element))
		return diags
	case kind.Kind() == reflect.Pointer && f.IsNil():
		f.Set(reflect.New(kind.Elem()))
		return fill(f.Elem(), b.labels, b.body, b.ctx, b.at)
	}
	return hcl.Diagnostics{fault(b.at, "a second block %q, or one where none can be", b.name)}
}

// free is the content of a block that Nomad hands on to a driver or another program, blocks in it included.
func free(b block) (cty.Value, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	all := map[string]cty.Value{}
	for name, a := range b.body.Attributes {
		value, more := evaluate(a.Expr, b.ctx)
		diags = append(diags, more...)
		all[name] = value
	}
	blocks, more := expand(b.body.Blocks, b.ctx)
	diags = append(diags, more...)
	for _, inner := range blocks {
		value, more := free(inner)
		diags = append(diags, more...)
		all[strings.Join(append([]string{inner.name}, inner.labels...), " ")] = value
	}
	if len(all) == 0 {
		return cty.EmptyObjectVal, diags
	}
	return cty.ObjectVal(all), diags
}

// expand makes blocks of dynamic ones.
func expand(all hclsyntax.Blocks, ctx *hcl.EvalContext) ([]block, hcl.Diagnostics) {
	var blocks []block
	var diags hcl.Diagnostics
	for _, b := range all {
		if b.Type != "dynamic" {
			blocks = append(blocks, block{b.Type, b.Labels, b.Body, ctx, b.TypeRange})
			continue
		}
		made, more := dynamic(b, ctx)
		blocks, diags = append(blocks, made...), append(diags, more...)
	}
	return blocks, diags
}

func dynamic(b *hclsyntax.Block, ctx *hcl.EvalContext) ([]block, hcl.Diagnostics) {
	name, iterator := b.Labels[0], b.Labels[0]
	if a := b.Body.Attributes["iterator"]; a != nil {
		iterator = hcl.ExprAsKeyword(a.Expr)
	}
	if len(b.Body.Blocks) != 1 || b.Body.Blocks[0].Type != "content" || b.Body.Attributes["for_each"] == nil {
		return nil, hcl.Diagnostics{fault(b.TypeRange, "dynamic %q wants for_each and one block content", name)}
	}
	over, diags := evaluate(b.Body.Attributes["for_each"].Expr, ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	var blocks []block
	for it := over.ElementIterator(); it.Next(); {
		key, value := it.Element()
		child := ctx.NewChild()
		child.Variables = map[string]cty.Value{iterator: cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})}
		made := block{name: name, body: b.Body.Blocks[0].Body, ctx: child, at: b.TypeRange}
		if a := b.Body.Attributes["labels"]; a != nil {
			labels, more := evaluate(a.Expr, child)
			if diags = append(diags, more...); more.HasErrors() {
				continue
			}
			for _, label := range labels.AsValueSlice() {
				made.labels = append(made.labels, label.AsString())
			}
		}
		blocks = append(blocks, made)
	}
	return blocks, diags
}

var durationType = reflect.TypeFor[time.Duration]()

// set puts a value into a field of Nomad's, as far as it can be what the field is.
func set(f reflect.Value, value cty.Value) error {
	switch {
	case f.Kind() == reflect.Pointer:
		element := reflect.New(f.Type().Elem())
		if err := set(element.Elem(), value); err != nil {
			return err
		}
		f.Set(element)
		return nil
	case f.Type() == durationType:
		text, err := convert.Convert(value, cty.String)
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(text.AsString())
		f.SetInt(int64(d))
		return err
	case f.Kind() == reflect.Interface:
		data, err := ctyjson.SimpleJSONValue{Value: value}.MarshalJSON()
		if err != nil {
			return err
		}
		return unmarshal(data, f.Addr().Interface())
	}
	want, err := gocty.ImpliedType(f.Interface())
	if err != nil {
		return fmt.Errorf("a field of type %s: %w", f.Type(), err)
	}
	if value, err = convert.Convert(value, want); err != nil {
		return err
	}
	return gocty.FromCtyValue(value, f.Addr().Interface())
}
