// SPDX-License-Identifier: MIT

// composecheck loads a compose file as Docker Compose does and says what it does
// not accept: composecheck FILE [PROFILE...]. With --services it prints the
// services of the profiles, one a line.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// exists reports bind mounts and build contexts that are not there: the loader
// does not look.
func exists(project *types.Project) error {
	for _, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				return fmt.Errorf("service %s: %w", service.Name, err)
			}
		}
		if service.Build == nil {
			continue
		}
		dockerfile := service.Build.Dockerfile
		if !filepath.IsAbs(dockerfile) {
			dockerfile = filepath.Join(service.Build.Context, dockerfile)
		}
		if _, err := os.Stat(dockerfile); err != nil {
			return fmt.Errorf("service %s: %w", service.Name, err)
		}
	}
	return nil
}

// ports reports a host port that two services publish at one address.
func ports(project *types.Project) error {
	taken := map[string]string{}
	for _, service := range project.Services {
		for _, port := range service.Ports {
			key := port.HostIP + ":" + port.Published + "/" + port.Protocol
			if other, found := taken[key]; found && port.Published != "" {
				return fmt.Errorf("port %s is published by %s and %s", key, other, service.Name)
			}
			taken[key] = service.Name
		}
	}
	return nil
}

func run(file string, profiles []string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithOsEnv, cli.WithDotEnv,
		cli.WithName("check"), cli.WithProfiles(profiles))
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	if err := exists(project); err != nil {
		return nil, err
	}
	return project, ports(project)
}

func main() {
	words := os.Args[1:]
	list := len(words) > 0 && words[0] == "--services"
	if list {
		words = words[1:]
	}
	if len(words) == 0 {
		fmt.Fprintln(os.Stderr, "usage: composecheck [--services] FILE [PROFILE...]")
		os.Exit(2)
	}
	project, err := run(words[0], words[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", words[0], err)
		os.Exit(1)
	}
	if list {
		names := project.ServiceNames()
		sort.Strings(names)
		for _, name := range names {
			fmt.Println(name)
		}
	}
}
