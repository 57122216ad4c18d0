package config

import (
	"reflect"

	"github.com/alecthomas/kong"
)

// Paths has flags of type path take an empty text, like that of a variable in an environment file which is set to nothing, as no path: kong makes it the working
// directory.
func Paths() kong.Option {
	return kong.NamedMapper("path", kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		var path string
		if err := ctx.Scan.PopValueInto("file", &path); err != nil {
			return err
		}
		if path != "" && path != "-" {
			path = kong.ExpandPath(path)
		}
		target.SetString(path)
		return nil
	}))
}
