# Prints the targets that bear a `## text`, under the `##@ Group` they stand in.
BEGIN { FS = ":.*## "; print "make TARGET [CLUSTER=embedded|kind|current] [NAME=…] [NODES=…]" }
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $1, $2 }
