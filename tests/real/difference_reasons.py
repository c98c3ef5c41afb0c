"""Where the embedded API server answers otherwise than kube-apiserver 1.34 and may, and why. A reason for what is no
difference (any more) fails the test."""

OUR_WORDS = "the same code and reason, in our own words: kube-apiserver's are those of Go's libraries"
GO_TEXT = "kube-apiserver answers unknown paths in plain text; kubectl says the same for both"
TYPE_META = "items of built-in lists have apiVersion and kind here; clients set them anyway"
TABLE_WORDS = "descriptions of table columns are shorter; kubectl prints none of them"
STRICTER = "refused here with what is wrong; kube-apiserver answers 500 or takes it"
DISCOVERY = "verbs in alphabetical order, no storage version hash: no client looks at either"
ETCD_34 = "kube-apiserver needs etcd 3.5 for it, Debian has 3.4; here it works"

REASONS = {
    "status codes/no such resource": GO_TEXT,
    "status codes/no such group": GO_TEXT,
    "status codes/no such path": GO_TEXT,
    "discovery/a group that is not": GO_TEXT,
    "status codes/get with an odd accept": OUR_WORDS,
    "status codes/post to an object": "a create at an object's path is 405 here; kube-apiserver takes it for custom resources",
    "status codes/put to a collection": "405 here, 400 there",
    "status codes/not json": OUR_WORDS,
    "status codes/an array": OUR_WORDS,
    "status codes/empty body": OUR_WORDS,
    "status codes/no kind": OUR_WORDS,
    "status codes/odd content type": "protobuf is taken for the few kinds that kubectl sends so; it is not advertised",
    "status codes/a wrong kind": "400 here as for built-in kinds, 422 there",
    "status codes/a limit that is no number": OUR_WORDS,
    "create and validate/no name": "rules are checked there although the name is missing",
    "create and validate/label of wrong type": OUR_WORDS,
    "create and validate/bad annotation": "one cause for each wrong key here, three there",
    "create and validate/resourceVersion on create": STRICTER,
    "update/patch with a bad version": STRICTER,
    "update/patch with another uid": "409 here as for a DeleteOptions' precondition, 422 there",
    "update/json patch test fails": "says which operation failed and why; there it does not",
    "update/json patch of nothing there": "says which operation failed and why; there it does not",
    "update/json patch with an odd op": "says which operation failed and why; there it does not",
    "update/json patch that is an object": OUR_WORDS,
    "update/merge patch that is not json": OUR_WORDS,
    "update/a status of wrong type": "the enumeration is checked there too; the path is shortened",
    "update/no scale here": "no such subresource here, no such object there; both are 404",
    "configmaps and pods/wrong type": OUR_WORDS,
    "configmaps and pods/pod with a bad policy": "the order of the supported values",
    "configmaps and pods/secret with bad data": OUR_WORDS,
    "lists/list": TYPE_META, "lists/equal": TYPE_META, "lists/in": TYPE_META, "lists/greater": TYPE_META,
    "lists/by name": TYPE_META, "lists/first page": TYPE_META, "lists/second page": TYPE_META,
    "lists/last page": TYPE_META, "lists/any version": TYPE_META, "lists/what is left": TYPE_META,
    "lists/bad label selector": OUR_WORDS,
    "lists/bad field": OUR_WORDS,
    "lists/a bad token": OUR_WORDS,
    "lists/a bad version": OUR_WORDS,
    "lists/submission by phase": "an empty metadata.continue is left out",
    "lists/by runtime": "an empty metadata.continue is left out",
    "lists/by another runtime": "an empty metadata.continue is left out",
    "lists/table": TABLE_WORDS, "lists/table of one": TABLE_WORDS, "lists/table without objects": TABLE_WORDS,
    "lists/table of configmaps": TABLE_WORDS, "lists/table of namespaces": TABLE_WORDS, "scale/table": TABLE_WORDS,
    "watch/a bad version": STRICTER,
    "watch/initial events": ETCD_34,
    "watch/initial events without bookmarks": ETCD_34,
    "watch/one object": "watch=true on one object watches it here; there it is a get",
    "deletion/no new finalizers": "the cause is listed twice there",
    "deletion/negative grace": "400 here; there it is looked at after the object, which is 404",
    "scale/scale below": "as a mistake of the Scale here, of the pool there",
    "status codes/head of submissions": "405 here as for built-in kinds, a GET without its body there",
    "definitions/a status that takes the names back": "whether names are accepted is the server's to say: a status that "
    "says otherwise does not take the kind out of service here",
    "discovery/resources": DISCOVERY,
    "discovery/a bad crd": "the path names the version here; the same for all versions there",
    "kubectl/explain the pool": "metadata is explained in fewer words",
    "server-side apply/not an object": OUR_WORDS,
}
