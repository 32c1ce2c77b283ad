// Package standin has the stand-ins for services of a cloud that a project may ask for in x-strake.standins: an S3 that keeps objects as
// plain files, and a mail server that delivers nothing and shows what it caught. Add puts them into a loaded project as services like any
// other; S3 and Mail are what runs in them.
package standin
