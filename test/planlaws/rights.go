package planlaws

import (
	"os"
	"path/filepath"
	"slices"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// operatorRules are what the operator itself may do.
var operatorRules = sync.OnceValues(func() ([]rbacv1.PolicyRule, error) {
	data, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "role.yaml"))
	if err != nil {
		return nil, err
	}
	var role rbacv1.ClusterRole
	err = yaml.Unmarshal(data, &role)
	return role.Rules, err
})

// roleProblems finds what a Role allows and the operator may not do itself: an API server refuses such a Role, as it would be a way
// to more rights than its maker has.
func roleProblems(role *rbacv1.Role) []string {
	rules, err := operatorRules()
	if err != nil {
		return []string{err.Error()}
	}
	allowed := func(group, resource, verb string) bool {
		return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
			return slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, verb) && len(r.ResourceNames) == 0
		})
	}
	var out []string
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					out = append(out, unless(allowed(group, resource, verb), "it allows to %s %s, which the operator may not do itself", verb, resource)...)
				}
			}
		}
	}
	return out
}
