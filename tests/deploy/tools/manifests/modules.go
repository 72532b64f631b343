// SPDX-License-Identifier: MIT

//go:build tools

// What the schemas of custom resources are made from.
package manifests

import (
	_ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	_ "istio.io/api/networking/v1"
)
