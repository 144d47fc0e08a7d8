// openapi-typescript has no option for the type of bytes: a transform gives it one.
import { writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const blob = ts.factory.createTypeReferenceNode("Blob");
const nodes = await openapiTS(new URL("../openapi.json", import.meta.url), {
  transform: (schema) => (schema.format === "binary" ? blob : undefined),
});
writeFileSync(new URL("generated/schema.ts", import.meta.url), astToString(nodes));
