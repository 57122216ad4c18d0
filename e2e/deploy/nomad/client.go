package nomad

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2/gohcl"
)

// Client is what a node's own configuration says of jobs.
type Client struct {
	MaxKillTimeout time.Duration
	HostVolumes    map[string]string // folders by name
	Plugins        []string          // that are enabled
}

// ReadClient reads the configuration of a node. The api has no structs for it: what is not known here is an error.
func ReadClient(file string) (Client, error) {
	body, err := parseFile(file)
	if err != nil {
		return Client{}, err
	}
	var is struct {
		Client struct {
			MaxKillTimeout string `hcl:"max_kill_timeout"`
			HostVolumes    []struct {
				Name string `hcl:",label"`
				Path string `hcl:"path"`
			} `hcl:"host_volume,block"`
		} `hcl:"client,block"`
		Plugins []struct {
			Name   string `hcl:",label"`
			Config struct {
				Enabled bool `hcl:"enabled"`
			} `hcl:"config,block"`
		} `hcl:"plugin,block"`
	}
	if diags := gohcl.DecodeBody(body, nil, &is); diags.HasErrors() {
		return Client{}, diags
	}
	c := Client{HostVolumes: map[string]string{}}
	if c.MaxKillTimeout, err = time.ParseDuration(is.Client.MaxKillTimeout); err != nil {
		return c, fmt.Errorf("max_kill_timeout: %w", err)
	}
	for _, v := range is.Client.HostVolumes {
		c.HostVolumes[v.Name] = v.Path
	}
	for _, p := range is.Plugins {
		if !p.Config.Enabled {
			return c, errors.New("plugin " + p.Name + " is not enabled")
		}
		c.Plugins = append(c.Plugins, p.Name)
	}
	return c, nil
}
