import { defineConfig } from "orval";

export default defineConfig({
  landfall: {
    input: "../openapi.json",
    // Without `headers`, orval leaves header parameters out.
    output: { client: "fetch", mode: "single", target: "generated/landfall.ts", headers: true, baseUrl: process.env.API },
  },
});
