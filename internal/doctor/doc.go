// Package doctor looks at what a cluster is and how it is used, and says what is likely to hurt: each finding with its evidence and
// a remedy. internal/admin collects the evidence and answers with the findings.
//
// [Examine] is a pure function of its [Evidence], so a finding can be reproduced from what it shows. It never changes anything, and
// asks nothing of anybody.
package doctor
