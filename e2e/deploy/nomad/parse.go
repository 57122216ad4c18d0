package nomad

import (
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/nomad/api"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Vars are values of a job file's variables.
type Vars map[string]cty.Value

// ReadVars reads variable files; of the same name the last one counts.
func ReadVars(files ...string) (Vars, error) {
	all := Vars{}
	for _, file := range files {
		body, err := parseFile(file)
		if err != nil {
			return nil, err
		}
		attributes, diags := body.JustAttributes()
		for name, a := range attributes {
			value, more := a.Expr.Value(nil)
			diags = append(diags, more...)
			all[name] = value
		}
		if diags.HasErrors() {
			return nil, diags
		}
	}
	return all, nil
}

// With are these values and others, which come first.
func (v Vars) With(others Vars) Vars {
	all := maps.Clone(v)
	maps.Copy(all, others)
	return all
}

// functions are those of Nomad's that the job files use.
var functions = map[string]function.Function{
	"concat": stdlib.ConcatFunc, "join": stdlib.JoinFunc, "jsonencode": stdlib.JSONEncodeFunc, "length": stdlib.LengthFunc, "merge": stdlib.MergeFunc,
}

// Parse reads a job file. Values for variables that it doesn't declare are left out, as with -hcl2-strict=false.
func Parse(file string, given Vars) (*api.Job, error) {
	body, err := parseFile(file)
	if err != nil {
		return nil, err
	}
	var jobs hclsyntax.Blocks
	var locals []*hclsyntax.Attribute
	vars := map[string]cty.Value{}
	var diags hcl.Diagnostics
	for _, block := range body.Blocks {
		switch block.Type {
		case "variable":
			value, more := variable(block, given)
			diags = append(diags, more...)
			vars[block.Labels[0]] = value
		case "locals":
			for _, a := range block.Body.Attributes {
				locals = append(locals, a)
			}
		case "job":
			jobs = append(jobs, block)
		default:
			diags = append(diags, unexpected(block.TypeRange, "a block", block.Type))
		}
	}
	for _, a := range body.Attributes {
		diags = append(diags, unexpected(a.NameRange, "an attribute", a.Name))
	}
	if len(jobs) != 1 {
		return nil, fmt.Errorf("%s has %d jobs, want one", file, len(jobs))
	}
	ctx := &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{"var": cty.ObjectVal(vars)}}
	diags = append(diags, settle(ctx, locals)...)
	if diags.HasErrors() {
		return nil, diags
	}
	job := api.NewBatchJob(jobs[0].Labels[0], jobs[0].Labels[0], "global", 50)
	job.Region, job.Type, job.Priority = nil, nil, nil
	if diags := decode(job, jobs[0].Body, ctx); diags.HasErrors() {
		return nil, diags
	}
	job.Canonicalize()
	return job, nil
}

func parseFile(file string) (*hclsyntax.Body, error) {
	parsed, diags := hclparse.NewParser().ParseHCLFile(file)
	if diags.HasErrors() {
		return nil, diags
	}
	return parsed.Body.(*hclsyntax.Body), nil
}

// variable is the value of a variable: given, or its default.
func variable(block *hclsyntax.Block, given Vars) (cty.Value, hcl.Diagnostics) {
	want, value := cty.DynamicPseudoType, cty.NilVal
	var diags hcl.Diagnostics
	for name, a := range block.Body.Attributes {
		var more hcl.Diagnostics
		switch name {
		case "type":
			want, more = typeexpr.TypeConstraint(a.Expr)
		case "default":
			value, more = a.Expr.Value(nil)
		case "description":
		default:
			more = hcl.Diagnostics{unexpected(a.NameRange, "an attribute", name)}
		}
		diags = append(diags, more...)
	}
	if v, ok := given[block.Labels[0]]; ok {
		value = v
	}
	if value == cty.NilVal {
		return cty.DynamicVal, append(diags, fault(block.TypeRange, "variable %q has no value", block.Labels[0]))
	}
	value, err := convert.Convert(value, want)
	if err != nil {
		diags = append(diags, fault(block.TypeRange, "variable %q: %v", block.Labels[0], err))
	}
	return value, diags
}

// settle finds the locals' values, which may be made of one another.
func settle(ctx *hcl.EvalContext, locals []*hclsyntax.Attribute) hcl.Diagnostics {
	known := map[string]cty.Value{}
	for len(locals) > 0 {
		ctx.Variables["local"] = cty.ObjectVal(known)
		var later []*hclsyntax.Attribute
		var faults hcl.Diagnostics
		for _, a := range locals {
			value, diags := evaluate(a.Expr, ctx)
			if diags.HasErrors() {
				later, faults = append(later, a), append(faults, diags...)
				continue
			}
			known[a.Name] = value
		}
		if len(later) == len(locals) {
			return faults
		}
		locals = later
	}
	ctx.Variables["local"] = cty.ObjectVal(known)
	return nil
}

// evaluate leaves what only a node knows, like ${NOMAD_PORT_http} and ${attr.cpu.arch}, as it stands there.
func evaluate(e hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	late := map[string]cty.Value{}
	for _, traversal := range e.Variables() {
		root := traversal.RootName()
		switch root {
		case "node", "attr", "meta", "env", "device":
		default:
			if !strings.HasPrefix(root, "NOMAD_") {
				continue
			}
		}
		path := []string{root}
		for _, step := range traversal[1:] {
			if named, ok := step.(hcl.TraverseAttr); ok {
				path = append(path, named.Name)
			}
		}
		value := cty.StringVal("${" + strings.Join(path, ".") + "}")
		for i := len(path) - 1; i > 0; i-- {
			value = cty.ObjectVal(map[string]cty.Value{path[i]: value})
		}
		late[root] = value
	}
	if len(late) > 0 {
		ctx = ctx.NewChild()
		ctx.Variables = late
	}
	return e.Value(ctx)
}

func fault(at hcl.Range, format string, v ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: fmt.Sprintf(format, v...), Subject: &at}
}

func unexpected(at hcl.Range, what, name string) *hcl.Diagnostic {
	return fault(at, "Nomad knows no %s with the name %q here", strings.TrimPrefix(strings.TrimPrefix(what, "an "), "a "), name)
}
