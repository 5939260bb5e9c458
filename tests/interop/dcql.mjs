// Answers each JSON line on stdin with one on stdout: what the library `dcql` makes of a query.
//   {query, credentials}    -> {satisfied, matches: {id: {index: {option, output}}}}
//   {query, presentations}  -> {satisfied}
//   a query it refuses      -> {refused: true}
import { createInterface } from 'node:readline'
import { DcqlPresentationResult, DcqlQuery } from 'dcql'

function parse(query) {
  try {
    const parsed = DcqlQuery.parse(query)
    DcqlQuery.validate(parsed)
    return parsed
  } catch {
    return undefined
  }
}

function answer({ query, credentials, presentations }) {
  const parsed = parse(query)
  if (parsed === undefined) return { refused: true }
  if (presentations) {
    const result = DcqlPresentationResult.fromDcqlPresentation(presentations, { dcqlQuery: parsed })
    return { satisfied: Boolean(result.can_be_satisfied) }
  }
  const result = DcqlQuery.query(parsed, credentials)
  const matches = Object.entries(result.credential_matches).map(([id, match]) => [
    id,
    Object.fromEntries(
      (match.valid_credentials ?? []).map((each) => {
        const [first] = each.claims.valid_claim_sets
        const found = { option: first.claim_set_index ?? null, output: first.output }
        return [each.input_credential_index, found]
      })
    ),
  ])
  return { satisfied: Boolean(result.can_be_satisfied), matches: Object.fromEntries(matches) }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`)
}
