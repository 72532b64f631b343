// SPDX-License-Identifier: MIT

// Command istioprog says what Istio itself has against the manifests in the
// files given: its own parser and its own validation, those of its webhook.
// Other groups' objects are left out. Status 1: an error or a warning.
package main

import (
	"fmt"
	"os"
	"strings"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config/schema/collections"
)

func check(path string) (bad int, seen int) {
	text, err := os.ReadFile(path)
	if err != nil {
		fmt.Printf("%s: %v\n", path, err)
		return 1, 0
	}
	objects, _, err := crd.ParseInputs(string(text))
	if err != nil {
		fmt.Printf("%s: %v\n", path, err)
		return 1, 0
	}
	for _, object := range objects {
		schema, found := collections.All.FindByGroupVersionKind(object.GroupVersionKind)
		if !found || !strings.HasSuffix(object.GroupVersionKind.Group, "istio.io") {
			continue
		}
		seen++
		name := fmt.Sprintf("%s: %s/%s", path, object.GroupVersionKind.Kind, object.Name)
		warning, err := schema.ValidateConfig(object)
		if warning != nil {
			fmt.Printf("%s: warning: %v\n", name, warning)
			bad++
		}
		if err != nil {
			fmt.Printf("%s: %v\n", name, err)
			bad++
		}
	}
	return bad, seen
}

func main() {
	bad, seen := 0, 0
	for _, path := range os.Args[1:] {
		b, s := check(path)
		bad += b
		seen += s
	}
	fmt.Printf("%d objects of Istio, %d findings\n", seen, bad)
	if bad > 0 {
		os.Exit(1)
	}
}
