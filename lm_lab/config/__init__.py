"""From words and YAML to objects: what may be imported, what is checked before it is built, what a run goes on from."""
